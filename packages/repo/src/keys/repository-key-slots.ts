import {
  type KeySlotId,
  newKeySlotId,
  PlatterError,
  type RandomSource,
  type ReadableStore,
  type RecordSealer,
  type RepositoryId,
  type Store,
  type WritableStore,
} from '@platter/core'
import { MAX_KEY_LABEL_LENGTH, MAX_KEY_SLOTS } from '../format/limits.ts'
import { keySlotName } from '../format/object-names.ts'
import { type Credential, type Credentials, readCredential } from './credential.ts'
import { decodeKeySlot, openKeySlot, sealKeySlot } from './key-slot.ts'
import { listKeySlots, loadKeySlots } from './load-slots.ts'
import { removeIfBeyond, removeKeySlot } from './remove-slot.ts'
import { DEFAULT_SCRYPT, type ScryptParameters } from './scrypt.ts'

/** A key slot of a repository, as `keys.list` gives it. Nothing of it is secret. */
export interface KeySlotInfo {
  readonly id: KeySlotId
  /** What opens it; undefined when it is damaged. */
  readonly kind: 'passphrase' | 'key-file' | undefined
  readonly label: string
  /** ISO 8601; empty when the slot is damaged. */
  readonly created: string
  /** Whether this repository object was opened with it. */
  readonly inUse: boolean
  /** Why it cannot be used; undefined when nothing is wrong with it as far as can be seen. */
  readonly problem: string | undefined
}

/** Options of `keys.add` and `keys.change`: what is to open the new slot, and how it is made. */
export interface KeySlotOptions extends Credentials {
  /** What people call the slot, at most 256 characters. */
  readonly label?: string
  /** Cost of trying a passphrase. Default N = 2^17, r = 8, p = 1. */
  readonly kdf?: ScryptParameters
  readonly signal?: AbortSignal
}

/** What the key slots of an open repository need of it. */
export interface KeySlotContext {
  readonly store: ReadableStore
  readonly records: RecordSealer
  readonly repository: RepositoryId
  readonly master: Uint8Array
  readonly random: RandomSource
  readonly now: () => Date
}

/**
 * The key slots of an encrypted repository: each holds the same master key, encrypted with another passphrase or key
 * file. Whoever removes a slot takes away a way in; who has opened the repository before may have kept the master key.
 */
export class RepositoryKeySlots {
  readonly #context: KeySlotContext
  readonly #signal: (signal: AbortSignal | undefined) => AbortSignal
  #inUse: KeySlotId

  /** Made by `Repository`. */
  constructor(
    context: KeySlotContext,
    inUse: KeySlotId,
    signal: (signal: AbortSignal | undefined) => AbortSignal,
  ) {
    this.#context = context
    this.#inUse = inUse
    this.#signal = signal
  }

  /** All slots, oldest first, damaged ones last. @throws ERR_LIMIT_EXCEEDED and what the store throws. */
  async list(options: { readonly signal?: AbortSignal } = {}): Promise<KeySlotInfo[]> {
    const { store, repository } = this.#context
    const loaded = await loadKeySlots(store, repository, { signal: this.#signal(options.signal) })
    const infos = loaded.map((entry): KeySlotInfo => {
      const { id, slot } = entry
      const inUse = id === this.#inUse
      if (slot === undefined)
        return { id, kind: undefined, label: '', created: '', inUse, problem: entry.problem.message }
      const kind = slot.derivation.kind === 'scrypt' ? 'passphrase' : 'key-file'
      return { id, kind, label: slot.label, created: slot.created, inUse, problem: undefined }
    })
    const order = ({ created }: KeySlotInfo): string => (created === '' ? '~' : created)
    return infos.sort((a, b) => (order(a) < order(b) ? -1 : 1))
  }

  /**
   * Adds a slot for another passphrase or key file. When others are added at the same time and there are too many of
   * them, the last ones are taken back.
   *
   * @returns id of the slot.
   * @throws ERR_KEY_REQUIRED, ERR_INVALID_ARGUMENT, ERR_KEY_SLOT_PARAMETERS, ERR_LIMIT_EXCEEDED,
   * ERR_STORE_UNSUPPORTED, and what the store throws.
   */
  async add(options: KeySlotOptions): Promise<KeySlotId> {
    const { store } = this.#context
    if (!isWritable(store)) throw readOnly(store)
    const signal = this.#signal(options.signal)
    if ((await listKeySlots(store, { signal })).length >= MAX_KEY_SLOTS) throw tooMany()
    const id = await addKeySlot({ ...this.#context, store }, { ...options, signal })
    // Others may have been added since. Where nothing can be removed this one stays; it opens like any other.
    if (canDelete(store) && (await removeIfBeyond(MAX_KEY_SLOTS, { ...this.#context, store }, id, signal)))
      throw tooMany()
    return id
  }

  /**
   * Removes a slot, also the one in use.
   *
   * @param id of the slot, or a unique prefix of at least 4 digits.
   * @throws ERR_NO_KEY_SLOT when there is none of that id, ERR_INVALID_ARGUMENT when several fit,
   * ERR_LAST_KEY_SLOT when nothing else would open the repository, whoever removes others at the same time,
   * ERR_STORE_UNSUPPORTED, and what the store throws.
   */
  async remove(id: string, options: { readonly signal?: AbortSignal } = {}): Promise<KeySlotId> {
    const { store } = this.#context
    if (!canDelete(store)) throw readOnly(store)
    const signal = this.#signal(options.signal)
    const slot = find(await listKeySlots(store, { signal }), id)
    await removeKeySlot({ ...this.#context, store }, slot, signal)
    return slot
  }

  /**
   * Puts a slot with another passphrase or key file in the place of the one in use: adds the new one, reads it back,
   * and only then removes the old one.
   *
   * @returns id of the new slot.
   * @throws what `add` and `remove` throw.
   */
  async change(options: KeySlotOptions): Promise<KeySlotId> {
    const { store } = this.#context
    if (!canDelete(store)) throw readOnly(store)
    const signal = this.#signal(options.signal)
    const old = this.#inUse
    const { label = (await this.list({ signal })).find(({ id }) => id === old)?.label ?? '' } = options
    const id = await this.add({ ...options, label, signal })
    await removeKeySlot({ ...this.#context, store }, old, signal)
    this.#inUse = id
    return id
  }
}

/** Wraps the master key for a new slot, stores it, and makes sure that it opens. */
export async function addKeySlot(
  context: Omit<KeySlotContext, 'records'> & { readonly store: WritableStore },
  options: KeySlotOptions,
): Promise<KeySlotId> {
  const { store, repository, master, random, now } = context
  const { label = '', kdf = DEFAULT_SCRYPT, signal } = options
  if (typeof label !== 'string' || label.length > MAX_KEY_LABEL_LENGTH) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `The label of a key slot has at most ${MAX_KEY_LABEL_LENGTH} characters.`,
    )
  }
  const credential = await readCredential(options)
  try {
    const id = newKeySlotId(random)
    const derivation =
      credential.kind === 'passphrase'
        ? ({ kind: 'scrypt', parameters: { N: kdf.N, r: kdf.r, p: kdf.p } } as const)
        : ({ kind: 'key-file' } as const)
    const created = now().toISOString()
    const parts = await sealKeySlot(
      { id, repository, derivation, label, created },
      master,
      credential,
      random,
    )
    await assertOpens(id, repository, parts, credential, master)
    signal?.throwIfAborted()
    const put = await store.putIfAbsent(keySlotName(id), parts, signal === undefined ? {} : { signal })
    if (put === 'exists') {
      throw new PlatterError('ERR_STORE_IO', `The object ${keySlotName(id)} exists although it is new.`, {
        object: keySlotName(id),
      })
    }
    return id
  } finally {
    credential.bytes.fill(0)
  }
}

/** What could not be opened again is never written. @throws ERR_CORRUPT_KEY_SLOT */
async function assertOpens(
  id: KeySlotId,
  repository: RepositoryId,
  parts: readonly Uint8Array[],
  credential: Credential,
  master: Uint8Array,
): Promise<void> {
  const slot = decodeKeySlot(id, repository, Buffer.concat(parts))
  const opened = await openKeySlot(slot, repository, credential)
  const isSame = opened !== undefined && Buffer.compare(opened, master) === 0
  opened?.fill(0)
  if (!isSame) {
    throw new PlatterError(
      'ERR_CORRUPT_KEY_SLOT',
      "A new key slot does not open again; it was not stored. Suspect this machine's memory.",
    )
  }
}

function find(slots: readonly KeySlotId[], prefix: string): KeySlotId {
  const candidates = slots.filter((id) => id.startsWith(prefix.toLowerCase()))
  const [slot, ...others] = candidates
  if (prefix.length < MIN_PREFIX_LENGTH || slot === undefined)
    throw new PlatterError('ERR_NO_KEY_SLOT', `There is no key slot '${prefix}'.`)
  if (others.length > 0) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `'${prefix}' fits ${candidates.length} key slots; give more digits of the id.`,
      { candidates },
    )
  }
  return slot
}

function tooMany(): PlatterError {
  return new PlatterError(
    'ERR_LIMIT_EXCEEDED',
    `A repository has at most ${MAX_KEY_SLOTS} key slots, and there are as many. Remove one first.`,
    { expected: MAX_KEY_SLOTS },
  )
}

/** Shortest prefix of an id that names a slot. */
const MIN_PREFIX_LENGTH = 4

function isWritable(store: ReadableStore): store is WritableStore {
  return 'putIfAbsent' in store
}

function canDelete(store: ReadableStore): store is Store {
  return isWritable(store) && 'delete' in store
}

function readOnly(store: ReadableStore): PlatterError {
  return new PlatterError(
    'ERR_STORE_UNSUPPORTED',
    `Nothing can be removed from the store ${store.label}, or written to it.`,
  )
}
