import { type KeySlotId, PlatterError, type ReadableStore, type RepositoryId } from '@platter/core'
import { MAX_KEY_SLOTS } from '../format/limits.ts'
import { KEYS_PREFIX } from '../format/object-names.ts'
import { type Credential, type Credentials, readCredential } from './credential.ts'
import { type KeySlot, openKeySlot } from './key-slot.ts'
import { loadKeySlots } from './load-slots.ts'
import { MAX_SCRYPT_COST, scryptCost } from './scrypt.ts'

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
    const tried = affordable(fitting)
    for (const slot of tried) {
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
    if (altered === undefined && tried.length < fitting.length) throw tooCostly(tried.length, fitting.length)
    throw altered ?? refusal(credential, fitting.length, slots.length, problems)
  } finally {
    credential.bytes.fill(0)
  }
}

/** What trying slots may cost in all: as much as the slots of a repository can at most. */
const MAX_COST: number = MAX_KEY_SLOTS * MAX_SCRYPT_COST

/** The slots that can be tried within the bound, those that cost least first. */
export function affordable<Slot extends Pick<KeySlot, 'derivation'>>(slots: readonly Slot[]): Slot[] {
  let spent = 0
  const cheapestFirst = [...slots].sort((a, b) => cost(a) - cost(b))
  return cheapestFirst.filter((slot) => {
    spent += cost(slot)
    return spent <= MAX_COST
  })
}

function tooCostly(tried: number, count: number): PlatterError {
  return new PlatterError(
    'ERR_LIMIT_EXCEEDED',
    `The passphrase opens none of ${tried} key slots; there are ${count}, and to try more would take too long. Remove objects under '${KEYS_PREFIX}' that do not belong there.`,
    { expected: MAX_KEY_SLOTS, actual: count },
  )
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

function cost({ derivation }: Pick<KeySlot, 'derivation'>): number {
  return derivation.kind === 'scrypt' ? scryptCost(derivation.parameters) : 0
}
