import type { ErrorCode, PlatterError } from '@platter/core'

/** What to do next about an error, in terms of the command line; the error's own message knows nothing of it. */
export function hintFor(error: PlatterError): string | undefined {
  if (error.code === 'ERR_SNAPSHOT_AMBIGUOUS') {
    const candidates = error.details.candidates ?? []
    if (candidates.length > 0) return `It fits ${candidates.join(', ')}. Give more digits.`
  }
  return HINTS[error.code]
}

const DAMAGED = 'platter check REPO --read-data finds all damage and says which snapshots it concerns.'

const HINTS: Partial<Record<ErrorCode, string>> = {
  ERR_REPOSITORY_NOT_FOUND: 'Check the path, or create a repository there: platter init REPO',
  ERR_REPOSITORY_EXISTS: 'Use it as it is, or choose another folder.',
  ERR_KEY_REQUIRED:
    'Use --passphrase-file FILE, PLATTER_PASSPHRASE_FILE, or --key-file FILE; or run it in a terminal. A repository made with init --no-encryption needs none.',
  ERR_NOT_ENCRYPTED:
    'If it never was encrypted, leave --passphrase-file and --key-file out, and PLATTER_PASSPHRASE_FILE unset.',
  ERR_WRONG_PASSPHRASE:
    'Mind capitals and the keyboard layout; a file must hold the passphrase and nothing else.',
  ERR_ROLLBACK:
    'If you set it back yourself: platter pin accept REPO. Each repository needs a pin file of its own.',
  ERR_CORRUPT_PIN: 'platter pin accept REPO makes it anew from what the repository shows now.',
  ERR_LAST_KEY_SLOT: 'platter key add REPO adds another; platter key change REPO replaces it.',
  ERR_UNSUPPORTED_VERSION: 'A newer platter wrote it; use that version or a later one.',
  ERR_UNSUPPORTED_FEATURE: 'A newer platter wrote it; use that version or a later one.',
  ERR_SNAPSHOT_NOT_FOUND: 'platter snapshots REPO lists what there is.',
  ERR_SNAPSHOT_DAMAGED:
    'platter restore --partial restores what is left; platter repair packs REPO --from SOURCE may heal it.',
  ERR_PRUNE_UNFINISHED: 'platter prune REPO finishes a prune; platter repair packs REPO, where that says so.',
  ERR_SNAPSHOT_AMBIGUOUS: 'Give more digits; platter show REPO SNAPSHOT prints the whole id.',
  ERR_CORRUPT_PACK: DAMAGED,
  ERR_CORRUPT_INDEX: DAMAGED,
  ERR_CORRUPT_NODE: DAMAGED,
  ERR_CORRUPT_BLOB: DAMAGED,
  ERR_CORRUPT_SNAPSHOT: DAMAGED,
  ERR_CORRUPT_RECORD: DAMAGED,
  ERR_CHUNK_MISSING: DAMAGED,
  ERR_DIGEST_MISMATCH: DAMAGED,
  ERR_STORE_FULL: 'Free some space and run it again. Snapshots made before are intact.',
  ERR_SOURCE_READ:
    'With --on-read-error record, a backup keeps zeros for what cannot be read, and a list of the places.',
  ERR_SOURCE_CHANGED: 'Back up something that holds still: an unmounted disk, or a snapshot of a volume.',
  ERR_TARGET_EXISTS: '--force overwrites it; --only-different brings it up to date.',
  ERR_TARGET_MOUNTED: 'Unmount it. --force writes all the same, and whatever is mounted there will break.',
}
