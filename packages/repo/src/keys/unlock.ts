import { type KeySlotId, PlatterError, type ReadableStore, type RepositoryId } from '@platter/core'
import { type Credential, type Credentials, readCredential } from './credential.ts'
import { type KeySlot, openKeySlot } from './key-slot.ts'
import { loadKeySlots } from './load-slots.ts'

/** The master key of a repository, and the slot it came from. */
export interface Unlocked {
  readonly master: Uint8Array
  readonly slot: KeySlotId
}

/**
 * Finds the slot that a passphrase or key file opens. Slots that cost least are tried first; a damaged one does not
 * keep the others from being tried.
 *
 * @throws ERR_WRONG_PASSPHRASE when no slot opens, ERR_NO_KEY_SLOT when there is none of the kind,
 * ERR_CORRUPT_KEY_SLOT or ERR_KEY_SLOT_PARAMETERS when all there are cannot be used, ERR_KEY_REQUIRED,
 * ERR_INVALID_ARGUMENT, ERR_LIMIT_EXCEEDED, and what the store throws.
 */
export async function unlock(
  store: ReadableStore,
  repository: RepositoryId,
  credentials: Credentials,
  options: { readonly signal?: AbortSignal },
): Promise<Unlocked> {
  // First of all, so that nobody is asked for a passphrase that no slot could fit.
  const loaded = await loadKeySlots(store, repository, options)
  if (loaded.length === 0) {
    throw new PlatterError(
      'ERR_NO_KEY_SLOT',
      `The repository at ${store.label} has no key slots, so nothing can open it. Put copies of the objects under 'keys/' back.`,
    )
  }
  const problems = loaded.flatMap((entry) => (entry.slot === undefined ? [entry.problem] : []))
  const slots = loaded.flatMap(({ slot }) => (slot === undefined ? [] : [slot]))
  const credential = await readCredential(credentials)
  try {
    let altered: PlatterError | undefined
    const fitting = slots.filter(({ derivation }) => kindOf(derivation.kind) === credential.kind)
    fitting.sort((a, b) => cost(a) - cost(b))
    for (const slot of fitting) {
      options.signal?.throwIfAborted()
      try {
        const master = await openKeySlot(slot, repository, credential)
        if (master !== undefined) return { master, slot: slot.id }
      } catch (error) {
        if (!PlatterError.is(error, 'ERR_CORRUPT_KEY_SLOT')) throw error
        // It is known to fit, and yet does not open: that says more than any other.
        altered ??= error
      }
    }
    throw altered ?? refusal(credential, fitting.length, slots.length, problems)
  } finally {
    credential.bytes.fill(0)
  }
}

function refusal(
  { kind }: Credential,
  tried: number,
  usable: number,
  problems: readonly PlatterError[],
): PlatterError {
  const [problem] = problems
  if (problem !== undefined && tried === 0) return problem
  const what = kind === 'passphrase' ? 'passphrase' : 'key file'
  if (tried === 0) {
    return new PlatterError(
      'ERR_NO_KEY_SLOT',
      `None of the ${usable} key slots is for a ${what}; this repository is opened by a ${kind === 'passphrase' ? 'key file' : 'passphrase'}.`,
    )
  }
  const damaged =
    problems.length === 0 ? '' : ` ${problems.length} more could not be tried: ${problems[0]!.message}`
  const slots = tried === 1 ? 'the one key slot' : `any of the ${tried} key slots`
  return new PlatterError(
    'ERR_WRONG_PASSPHRASE',
    `This ${what} does not open ${slots} of its kind.${damaged}`,
    { actual: tried, ...(problem === undefined ? {} : { cause: problem }) },
  )
}

function kindOf(derivation: KeySlot['derivation']['kind']): Credential['kind'] {
  return derivation === 'scrypt' ? 'passphrase' : 'key-file'
}

function cost({ derivation }: KeySlot): number {
  return derivation.kind === 'scrypt' ? derivation.parameters.N * derivation.parameters.p : 0
}
