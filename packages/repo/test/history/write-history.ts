import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  createHasher,
  encryptedRecords,
  nodeIdFrom,
  type PackId,
  packIdFrom,
  plainRecords,
  type SnapshotId,
  systemRandom,
} from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { Repository, type Snapshot } from '@platter/repo'
import { readConfig } from '../../dist/config/open-config.js'
import { deriveRepositoryKeys } from '../../dist/config/repository-keys.js'
import { BLOB_TYPE } from '../../dist/format/blob-entry.js'
import type { IndexedPack } from '../../dist/format/index-segment.js'
import { packName } from '../../dist/format/object-names.js'
import { packSuite } from '../../dist/format/pack-cipher.js'
import { packFileBytes } from '../../dist/format/pack-file.js'
import { encodeNode } from '../../dist/format/tree-node.js'
import { PackUploader } from '../../dist/pack/pack-uploader.js'
import { SmallPacks } from '../../dist/pack/small-packs.js'
import { WriterSession } from '../../dist/session/writer-session.js'
import { TreeBuilder } from '../../dist/tree/tree-builder.js'
import { drawn, SimulatedDisk } from './simulated-disk.ts'

export const CHUNK_BYTES: number = 256 * 1024
export const CHUNKS_PER_REGION = 256
const REGION_BYTES = CHUNK_BYTES * CHUNKS_PER_REGION
/** What the codec makes of a chunk: half of it, and room for the tag. */
const STORED_BYTES = CHUNK_BYTES / 2
const CHUNKS_PER_PACK = 256
const DAY_MILLIS = 86_400_000

export interface HistoryShape {
  readonly snapshots: number
  readonly gibibytes: number
  /** Share of the regions that a day touches. */
  readonly touchedRegions: number
  /** Share of the chunks of such a region that it replaces. */
  readonly touchedChunks: number
  /** Content of a key file, when the repository is to be encrypted. */
  readonly keyFile?: Uint8Array
}

/** What was written, for judging what is planned. */
export interface WrittenHistory {
  readonly snapshots: readonly SnapshotId[]
  /** Ids of the chunks of each pack of chunks, in lower-case hexadecimal. */
  readonly packs: ReadonlyMap<PackId, readonly string[]>
}

/**
 * Writes the repository of a disk that was backed up every day. Trees, packs of nodes, index and snapshots are as a
 * backup makes them; packs of chunks are sparse files of the right length, since no plan reads them.
 *
 * @param onSnapshot called after each, with the ids of all regions as they are then.
 */
export async function writeHistory(
  path: string,
  shape: HistoryShape,
  onSnapshot: (number: number, regions: readonly Uint8Array[]) => void = () => undefined,
): Promise<WrittenHistory> {
  const store = await LocalStore.create(path)
  const { keyFile } = shape
  await Repository.init(store, {
    regionBytes: REGION_BYTES,
    ...(keyFile === undefined ? { crypto: 'none' } : { keyFile }),
  })
  const { config } = await readConfig(store, keyFile === undefined ? {} : { keyFile }, {})
  const keys = deriveRepositoryKeys(config)
  const records = keys.metadata === undefined ? plainRecords : encryptedRecords(keys.metadata)
  const disk = new SimulatedDisk({
    ...shape,
    regions: shape.gibibytes * (1024 ** 3 / REGION_BYTES),
    chunksPerRegion: CHUNKS_PER_REGION,
    seed: 'history',
  })
  const writer = new DayWriter(path, { store, records }, keys)
  const snapshots: SnapshotId[] = []
  for (let number = 0; number < shape.snapshots; number++) {
    const day =
      number === 0
        ? { changed: disk.regions.map((_, i) => i), newIds: disk.regions.flatMap(idsOf) }
        : disk.nextDay()
    snapshots.push(await writer.write(number, disk, day))
    onSnapshot(number, disk.regions)
  }
  return { snapshots, packs: writer.packs }
}

/** Takes every second snapshot out of the listings, the first one too. */
export async function forgetHalf(repository: Repository): Promise<void> {
  const ids: SnapshotId[] = []
  for await (const { id } of repository.snapshots()) ids.push(id)
  for (const [i, id] of ids.entries()) if (i % 2 === 0) await repository.forget(id)
}

class DayWriter {
  readonly packs = new Map<PackId, readonly string[]>()
  readonly #path: string
  readonly #objects: ConstructorParameters<typeof PackUploader>[0]
  readonly #keys: ReturnType<typeof deriveRepositoryKeys>
  readonly #leaves: Uint8Array[] = []

  constructor(
    path: string,
    objects: ConstructorParameters<typeof PackUploader>[0],
    keys: ReturnType<typeof deriveRepositoryKeys>,
  ) {
    this.#path = path
    this.#objects = objects
    this.#keys = keys
  }

  async write(
    number: number,
    disk: SimulatedDisk,
    { changed, newIds }: { readonly changed: readonly number[]; readonly newIds: readonly Uint8Array[] },
  ): Promise<SnapshotId> {
    const { signal } = new AbortController()
    const now = (): Date => new Date(Date.UTC(2023, 0, 1) + number * DAY_MILLIS)
    const session = await WriterSession.begin(this.#objects, { random: systemRandom, now }, signal)
    const uploader = new PackUploader(this.#objects, this.#keys.pack, session.id, signal)
    for (let at = 0; at < newIds.length; at += CHUNKS_PER_PACK)
      uploader.list(await this.#hollowPack(newIds.slice(at, at + CHUNKS_PER_PACK), `${number} ${at}`))
    const nodes = new SmallPacks(uploader, this.#keys.pack, 32 * 1024 * 1024, systemRandom)
    const hasher = createHasher(this.#keys.nodeId)
    const addNode = (encoded: Uint8Array): Uint8Array => {
      const id = new Uint8Array(hasher.hash(encoded))
      nodes.append(id, BLOB_TYPE.node, 0, encoded, encoded.length)
      return id
    }
    for (const region of changed) this.#leaves[region] = addNode(leafOf(disk.regions[region]!))
    const tree = new TreeBuilder(addNode)
    for (const leaf of this.#leaves) tree.leaf(leaf)
    const root = tree.finish(() => new Uint8Array(0))!
    nodes.flush()
    await uploader.finish()
    const sizeBytes = disk.regions.length * REGION_BYTES
    await session.commit(snapshotOf(session.id, now(), sizeBytes, root), signal)
    return session.id
  }

  /** A pack of chunks that has no content. */
  async #hollowPack(ids: readonly Uint8Array[], seed: string): Promise<IndexedPack> {
    const id = packIdFrom(drawn(`pack ${seed}`, 32))
    const fileBytes = packFileBytes(ids.length * STORED_BYTES, ids.length, packSuite(this.#keys.pack))
    const file = join(this.#path, packName(id))
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, '')
    await truncate(file, fileBytes)
    this.packs.set(
      id,
      ids.map((chunk) => Buffer.from(chunk).toString('hex')),
    )
    const entries = ids.map((chunk, i) => ({
      id: chunk,
      type: BLOB_TYPE.chunk,
      codec: 1 as const,
      offset: 64 + i * STORED_BYTES,
      storedBytes: STORED_BYTES,
      rawBytes: CHUNK_BYTES,
    }))
    return { id, salt: drawn(`salt ${seed}`, 32), fileBytes, entries }
  }
}

function idsOf(region: Uint8Array): Uint8Array[] {
  return Array.from({ length: CHUNKS_PER_REGION }, (_, i) => region.slice(i * 32, (i + 1) * 32))
}

function leafOf(ids: Uint8Array): Uint8Array {
  return encodeNode({
    level: 0,
    kinds: new Uint8Array(CHUNKS_PER_REGION),
    spans: new Uint32Array(CHUNKS_PER_REGION).fill(CHUNK_BYTES),
    ids,
  })
}

function snapshotOf(id: SnapshotId, time: Date, sizeBytes: number, root: Uint8Array): Snapshot {
  const source = { kind: 'memory', label: 'simulated', logicalSectorBytes: 512, physicalSectorBytes: 512 }
  const nothing = { bytesTotal: 0, bytesRead: 0, bytesHole: 0, bytesNew: 0, bytesStored: 0 }
  return {
    id,
    name: 'disk',
    host: 'host',
    time: time.toISOString(),
    tags: [],
    parent: undefined,
    program: 'simulation',
    checkpoint: false,
    volumes: [{ sizeBytes, root: nodeIdFrom(root), imageDigest: '00'.repeat(32), source, badRanges: [] }],
    stats: { ...nothing, chunksNew: 0, chunksKnown: 0, seconds: 0 },
  }
}
