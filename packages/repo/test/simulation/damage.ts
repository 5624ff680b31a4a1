import { encryptedRecords, plainRecords, type Store } from '@platter/core'
import { type OpenOptions, Repository } from '@platter/repo'
import { readConfig } from '../../dist/config/open-config.js'
import { deriveRepositoryKeys } from '../../dist/config/repository-keys.js'
import { packName } from '../../dist/format/object-names.js'
import { loadChunkIndex } from '../../dist/index/load-index.js'
import { type Ledger, restored } from './ledger.ts'
import type { BucketMedium } from './medium.ts'
import type { RandomStream } from './random-stream.ts'

/** Objects that can be damaged: their loss is survived, or found. */
const DAMAGED = /^(packs|index|snapshots)\//
/** Fences are smaller; nothing says that the loss of one is found. */
const MIN_SNAPSHOT_BYTES = 257

/** What has become of an object. */
export interface Damage {
  readonly name: string
  readonly kind: 'packs' | 'index' | 'snapshots'
  readonly how: 'flipped' | 'cut' | 'removed'
  /** Bytes that are not what they were; none of the object is there where it was removed. */
  readonly from: number
  readonly to: number
}

/** Damages one object, any one that matters; undefined where there is none. */
export function damageSomething(medium: BucketMedium, random: RandomStream): Damage | undefined {
  const kind = random.weighted({ packs: 5, index: 2, snapshots: 1 })
  const names = medium
    .names()
    .filter((name) => DAMAGED.test(name) && name.startsWith(`${kind}/`))
    .filter((name) => kind !== 'snapshots' || medium.read(name).length >= MIN_SNAPSHOT_BYTES)
  if (names.length === 0) return undefined
  const name = random.pick(names.sort())
  // That a snapshot is gone as a whole cannot be found.
  const how = random.weighted({ flipped: 3, cut: 2, removed: kind === 'snapshots' ? 0 : 2 })
  const bytes = medium.read(name).slice()
  const at = random.below(bytes.length)
  if (how === 'removed') medium.alter(name, undefined)
  else if (how === 'cut') medium.alter(name, bytes.slice(0, at))
  else {
    bytes[at]! ^= 1 << random.below(8)
    medium.alter(name, bytes)
  }
  return {
    name,
    kind,
    how,
    from: how === 'removed' ? 0 : at,
    to: how === 'flipped' ? at + 1 : Number.POSITIVE_INFINITY,
  }
}

/**
 * Snapshots that have to restore although `damage` was done: whoever restores them does not read what it hit. Where only
 * bits are flipped, nor is that a copy of anything they need: nobody sees that without reading it, and of two copies a
 * prune may keep that one.
 */
export async function sparedBy(
  damage: Damage,
  before: Store,
  options: OpenOptions,
  ledger: Ledger,
): Promise<Set<string>> {
  const spared = new Set<string>()
  const blobs = await indexedBlobs(before, options)
  const hit = new Set(
    damage.how === 'flipped' ? blobs.filter((blob) => overlap(damage, blob)).map(({ id }) => id) : [],
  )
  for (const id of ledger.promised()) {
    const reads: Place[] = []
    try {
      await using repo = await Repository.open(
        tracing(before, (read) => reads.push(read)),
        options,
      )
      await restored(repo, id)
    } catch {
      // Something else was damaged before.
      continue
    }
    const needsCopy = (): boolean =>
      blobs.some((blob) => hit.has(blob.id) && reads.some((read) => overlap(read, blob)))
    if (!reads.some((read) => overlap(damage, read)) && !(hit.size > 0 && needsCopy())) spared.add(id)
  }
  return spared
}

/** Some bytes of an object. */
interface Place {
  readonly name: string
  readonly from: number
  readonly to: number
}

function overlap(a: Place, b: Place): boolean {
  return a.name === b.name && a.from < b.to && b.from < a.to
}

/** Every place where the index says that there is a blob. */
async function indexedBlobs(
  store: Store,
  { keyFile }: OpenOptions,
): Promise<(Place & { readonly id: string })[]> {
  const { config } = await readConfig(store, keyFile === undefined ? {} : { keyFile }, {})
  const { metadata } = deriveRepositoryKeys(config)
  const records = metadata === undefined ? plainRecords : encryptedRecords(metadata)
  const { index } = await loadChunkIndex({ store, records }, undefined)
  return Array.from({ length: index.size }, (_, entry) => {
    const { offset, storedBytes } = index.location(entry)
    const name = packName(index.packs[index.packOf(entry)]!.id)
    return { name, from: offset, to: offset + storedBytes, id: Buffer.from(index.id(entry)).toString('hex') }
  })
}

/** A store that tells what of it is read. */
function tracing(store: Store, onRead: (read: Place) => void): Store {
  return {
    label: store.label,
    get: async (name, options) => {
      onRead({ name, from: 0, to: Number.POSITIVE_INFINITY })
      return await store.get(name, options)
    },
    getRange: async (name, offset, length, options) => {
      onRead({ name, from: offset, to: offset + length })
      return await store.getRange(name, offset, length, options)
    },
    stat: (name, options) => store.stat(name, options),
    list: (prefix, options) => store.list(prefix, options),
    putIfAbsent: (name, parts, options) => store.putIfAbsent(name, parts, options),
    delete: (name, options) => store.delete(name, options),
    close: () => store.close(),
  }
}
