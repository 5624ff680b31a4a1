import {
  createBlockScanner,
  createHasher,
  createKernels,
  newSessionId,
  nodeIdFrom,
  PlatterError,
  packIdFrom,
  plainRecords,
  type SnapshotId,
  systemRandom,
} from '@platter/core'
import { MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { test } from 'tap'
import { decodeConfig } from '../dist/config/config-record.js'
import type { RepositoryConfig } from '../dist/config/repository-config.js'
import { deriveRepositoryKeys, type RepositoryKeys } from '../dist/config/repository-keys.js'
import { BLOB_TYPE, type BlobEntry } from '../dist/format/blob-entry.js'
import { encodeIndexSegment, type IndexedPack } from '../dist/format/index-segment.js'
import { indexSegmentName, packName, snapshotName } from '../dist/format/object-names.js'
import { packCipher } from '../dist/format/pack-cipher.js'
import { encodeSnapshot } from '../dist/format/snapshot-record.js'
import { encodeNode, RUN } from '../dist/format/tree-node.js'
import { PackAssembler } from '../dist/pack/pack-assembler.js'
import { DIGEST_BYTES, RegionDigest } from '../dist/tree/region-digest.js'
import {
  backUp,
  codeOf,
  collected,
  diskImage,
  newRepository,
  noise,
  rejection,
  targetFrom,
} from './adversity.ts'

const REGION_BYTES = 64 * 1024

interface ForgedRun {
  readonly kind: number
  readonly span: number
  readonly id?: Uint8Array
}

/** Writes snapshots whose objects are all sealed rightly, and say what one likes. */
class Forge {
  readonly store = new MemoryStore()
  readonly #blobs: { id: Uint8Array; type: 0 | 1; bytes: Uint8Array }[] = []
  #honest: SnapshotId | undefined
  #keys: RepositoryKeys | undefined
  #hashers: Record<'chunk' | 'node', ReturnType<typeof createHasher>> | undefined

  static async create(): Promise<Forge> {
    const forge = new Forge()
    const repo = await newRepository(forge.store)
    forge.#honest = (await backUp(repo, diskImage('honest'), { name: 'honest' })).id
    const keys = deriveRepositoryKeys(decodeConfig(await forge.store.get('config')) as RepositoryConfig)
    forge.#keys = keys
    forge.#hashers = { chunk: createHasher(keys.chunkId), node: createHasher(keys.nodeId) }
    return forge
  }

  get honest(): SnapshotId {
    return this.#honest!
  }

  chunk(bytes: Uint8Array): Uint8Array {
    return this.#blob('chunk', bytes)
  }

  node(level: number, runs: readonly ForgedRun[], digest?: Uint8Array): Uint8Array {
    return this.encodedNode(
      encodeNode({
        level,
        ...(digest === undefined ? {} : { digest }),
        kinds: Uint8Array.from(runs, ({ kind }) => kind),
        spans: Uint32Array.from(runs, ({ span }) => span),
        ids: new Uint8Array(Buffer.concat(runs.flatMap(({ id }) => (id === undefined ? [] : [id])))),
      }),
    )
  }

  encodedNode(bytes: Uint8Array): Uint8Array {
    return this.#blob('node', bytes)
  }

  /** A leaf of one whole region, of chunks of 4 KiB, with the digest of these or another. */
  leaf(seed: string, bytes = REGION_BYTES, digest = this.#digestOf(seed, bytes)): Uint8Array {
    const id = this.chunk(noise(seed, 4096))
    return this.node(
      0,
      Array.from({ length: bytes / 4096 }, () => ({ kind: RUN.stored, span: 4096, id })),
      digest,
    )
  }

  #digestOf(seed: string, bytes: number): Uint8Array | undefined {
    const { blockDigest, imageDigest } = this.#keys!
    const kernels = createKernels({ slabBytes: bytes })
    const scanner = createBlockScanner({ key: blockDigest, kernels })
    for (let at = 0; at < bytes; at += 4096) scanner.slab.set(noise(seed, 4096), at)
    scanner.scan(0, bytes / 4096)
    const digest = new RegionDigest(bytes, imageDigest, scanner.zeroDigest)
    digest.set(0, scanner.digests.subarray(0, (bytes / 4096) * DIGEST_BYTES))
    return digest.finish(bytes)
  }

  /** Stores what was forged, and a snapshot of it. */
  async commit(
    root: Uint8Array,
    sizeBytes: number,
    lie: (entry: BlobEntry) => BlobEntry = (entry) => entry,
  ): Promise<SnapshotId> {
    const id = newSessionId()
    const bytes = this.#blobs.reduce((sum, blob) => sum + blob.bytes.length, 0)
    const salt = systemRandom(32)
    const pack = new PackAssembler(new ArrayBuffer(bytes + 1_000_000), packCipher(undefined, salt))
    for (const blob of this.#blobs) pack.append(blob.id, blob.type, 0, blob.bytes, blob.bytes.length)
    const sealed = pack.seal()
    const file = new Uint8Array(sealed.memory, 0, sealed.fileBytes)
    const packId = packIdFrom(createHasher().hash(file))
    await this.store.putIfAbsent(packName(packId), [file])
    const listed: IndexedPack = {
      id: packId,
      salt,
      fileBytes: file.length,
      entries: sealed.entries.map(lie),
    }
    const segment = indexSegmentName(id, 0)
    await this.store.putIfAbsent(segment, encodeIndexSegment(segment, [listed], plainRecords))
    const { volumes, ...snapshot } = await (await Repository.open(this.store)).snapshot(this.honest)
    const volume = { ...volumes[0]!, sizeBytes, root: nodeIdFrom(root) }
    await this.store.putIfAbsent(
      snapshotName(id),
      encodeSnapshot({ ...snapshot, id, name: 'forged', volumes: [volume] }, plainRecords),
    )
    this.#blobs.length = 0
    return id
  }

  #blob(kind: 'chunk' | 'node', bytes: Uint8Array): Uint8Array {
    const id = new Uint8Array(this.#hashers![kind].hash(bytes))
    if (!this.#blobs.some((blob) => Buffer.compare(blob.id, id) === 0))
      this.#blobs.push({ id, type: BLOB_TYPE[kind], bytes })
    return id
  }
}

const stored = (id: Uint8Array, span = 1): ForgedRun => ({ kind: RUN.stored, span, id })

/** What each lie is: the root and the size of the image that the snapshot gives. */
const LIES: Readonly<Record<string, (forge: Forge) => readonly [Uint8Array, number]>> = {
  'a leaf that is too short': (f) => [f.leaf('a', 32_768), 65_536],
  'a leaf that is too long': (f) => [f.leaf('a', 65_536), 32_768],
  'a leaf in the middle that is too short': (f) => [
    f.node(1, [stored(f.leaf('a')), stored(f.leaf('b', 32_768)), stored(f.leaf('c'))]),
    3 * REGION_BYTES,
  ],
  'a node where a leaf belongs': (f) => {
    const inner = f.node(1, [stored(f.leaf('a')), stored(f.leaf('b'))])
    return [f.node(1, [stored(inner), stored(inner)]), 2 * REGION_BYTES]
  },
  'a leaf where a node belongs': (f) => [f.leaf('a'), 2 * REGION_BYTES],
  'a chunk where a node belongs': (f) => [
    f.node(1, [stored(f.chunk(noise('c', 5000))), stored(f.leaf('a'))]),
    2 * REGION_BYTES,
  ],
  'a chunk for a root': (f) => [f.chunk(noise('c', 5000)), REGION_BYTES],
  'a node where a chunk belongs': (f) => [f.node(0, [stored(f.leaf('a'), 4096)]), 4096],
  'a node that is missing': (f) => [
    f.node(1, [stored(noise('nowhere', 32)), stored(f.leaf('a'))]),
    2 * REGION_BYTES,
  ],
  'a chunk that is missing': (f) => [f.node(0, [stored(noise('nowhere', 32), 4096)]), 4096],
  'a chunk said to be longer': (f) => [f.node(0, [stored(f.chunk(noise('c', 4096)), 8192)]), 8192],
  'a chunk said to be shorter': (f) => [f.node(0, [stored(f.chunk(noise('c', 8192)), 4096)]), 4096],
  'too few children': (f) => [f.node(1, [stored(f.leaf('a')), stored(f.leaf('b'))]), 3 * REGION_BYTES],
  'too many children': (f) => [
    f.node(1, [stored(f.leaf('a')), stored(f.leaf('b')), stored(f.leaf('c'))]),
    2 * REGION_BYTES,
  ],
  'more children than a node has': (f) => [
    f.node(
      1,
      Array.from({ length: 1025 }, () => stored(f.leaf('a'))),
    ),
    1025 * REGION_BYTES,
  ],
  'no runs': (f) => [f.node(0, []), REGION_BYTES],
  'a run of no length': (f) => [
    f.node(0, [
      { kind: RUN.hole, span: 0 },
      { kind: RUN.hole, span: REGION_BYTES },
    ]),
    REGION_BYTES,
  ],
  'an unknown kind': (f) => [f.node(0, [{ kind: 3, span: REGION_BYTES }]), REGION_BYTES],
  'a child that spans two': (f) => [f.node(1, [stored(f.leaf('a'), 2)]), 2 * REGION_BYTES],
  'a run longer than a region may be': (f) => [
    f.node(0, [{ kind: RUN.hole, span: 0xffff_ffff }]),
    0xffff_ffff,
  ],
  'a hole off the blocks': (f) => [
    f.node(0, [stored(f.chunk(noise('c', 4000)), 4000), { kind: RUN.hole, span: REGION_BYTES - 4000 }]),
    REGION_BYTES,
  ],
  'a hole that ends off the blocks': (f) => [
    f.node(0, [{ kind: RUN.hole, span: REGION_BYTES - 4000 }, stored(f.chunk(noise('c', 4000)), 4000)]),
    REGION_BYTES,
  ],
  'more ids than runs': (f) => [
    f.node(0, [{ kind: RUN.hole, span: REGION_BYTES, id: noise('id', 32) }]),
    REGION_BYTES,
  ],
  'fewer ids than runs': (f) => [f.node(0, [{ kind: RUN.stored, span: 4096 }]), 4096],
  'no node at all': (f) => [f.encodedNode(noise('no node', 100)), REGION_BYTES],
  'a node of no bytes worth': (f) => [f.encodedNode(new Uint8Array(1)), REGION_BYTES],
  'a level there is not': (f) => [f.node(200, [stored(f.leaf('a'))]), 2 * REGION_BYTES],
}

const DISCARD = {
  prepare: async () => ({ blank: true }),
  write: async () => {},
  zero: async () => {},
  flush: async () => {},
}

test('trees that lie', { timeout: 60_000 }, async (t) => {
  const forge = await Forge.create()
  for (const [what, lie] of Object.entries(LIES)) {
    const id = await forge.commit(...lie(forge))
    const repo = await Repository.open(forge.store)
    const expected = /^ERR_(CORRUPT_NODE|CORRUPT_BLOB|CHUNK_MISSING)$/
    for (const workers of what === 'a chunk said to be longer' ? [0, 2] : [0]) {
      t.match(await codeOf(repo.restore(id, targetFrom(DISCARD), { workers })), expected, what)
      const used = new MemoryTarget({ content: noise('used', 100_000) })
      if ((await repo.snapshot(id)).volumes[0]!.sizeBytes < 1e6)
        t.match(
          await codeOf(repo.restore(id, used, { workers, onlyDifferent: true })),
          expected,
          `${what}, compared`,
        )
    }
    const read = async (): Promise<void> => {
      const image = await repo.openImage(id)
      for (let at = 0; at < Math.min(image.sizeBytes, 2e6); at += 50_000) await image.read(at, 50_000)
      await collected(image.extents())
    }
    t.match(await codeOf(read()), expected, `${what}, through an open image`)
    t.match(
      await codeOf(collected(repo.diff(forge.honest, id))),
      /^(success|ERR_(CORRUPT_NODE|CORRUPT_BLOB|CHUNK_MISSING))$/,
    )
    const { findings } = await repo.check()
    t.ok(findings.length > 0, `${what}: the check finds it`)
    t.ok(findings.every(({ snapshots }) => snapshots.includes(id) && !snapshots.includes(forge.honest)))
    t.equal(await codeOf(repo.restore(forge.honest, new MemoryTarget(), { workers: 0 })), 'success')
    await repo.forget(id)
  }
})

test('an image of another digest than its tree', async (t) => {
  const forge = await Forge.create()
  const id = await forge.commit(forge.leaf('a'), REGION_BYTES)
  const repo = await Repository.open(forge.store)
  for (const workers of [0, 2])
    t.equal(await codeOf(repo.restore(id, targetFrom(DISCARD), { workers })), 'ERR_DIGEST_MISMATCH')
})

test('a leaf of another digest than its chunks', async (t) => {
  const forge = await Forge.create()
  for (const digest of [noise('another', 32), new Uint8Array(32)]) {
    const root = forge.node(1, [stored(forge.leaf('a')), stored(forge.leaf('b', REGION_BYTES, digest))])
    const id = await forge.commit(root, 2 * REGION_BYTES)
    const repo = await Repository.open(forge.store)
    for (const workers of [0, 2]) {
      const error = await rejection(repo.restore(id, targetFrom(DISCARD), { workers }))
      t.ok(PlatterError.is(error, 'ERR_DIGEST_MISMATCH'))
      t.equal((error as PlatterError).details.offset, REGION_BYTES, 'it says where')
    }
  }
})

test('a small tree of a huge image is checked and opened at once', { timeout: 20_000 }, async (t) => {
  const forge = await Forge.create()
  // Each node has itself-like children only: 1024 to the power of four regions, in five nodes.
  let id = forge.leaf('a')
  for (let level = 1; level <= 3; level++)
    id = forge.node(
      level,
      Array.from({ length: 1024 }, () => stored(id)),
    )
  const sizeBytes = REGION_BYTES * 1024 ** 3
  const snapshot = await forge.commit(id, sizeBytes)
  const repo = await Repository.open(forge.store)
  t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
  const image = await repo.openImage(snapshot)
  const end = await image.read(sizeBytes - 10, 20)
  t.same(end, noise('a', 4096).slice(-10))
  t.same(await collected(repo.diff(snapshot, snapshot)), [])
  const signal = AbortSignal.timeout(300)
  t.match(
    await repo.restore(snapshot, targetFrom(DISCARD), { workers: 0, signal }).catch((error) => error.name),
    'TimeoutError',
  )
})

test('an index that lies about places', { timeout: 30_000 }, async (t) => {
  const lies: Record<string, (entry: BlobEntry) => BlobEntry> = {
    'a place a byte on': (entry) => ({ ...entry, offset: entry.offset + 1 }),
    'the place of another': (entry) => ({ ...entry, offset: 64 }),
    'another codec': (entry) => ({ ...entry, codec: 2 }),
    'yet another codec': (entry) => ({ ...entry, codec: 1 }),
    'a codec there is not': (entry) => ({ ...entry, codec: 7 as 0 }),
    'another type': (entry) => ({ ...entry, type: entry.type === 0 ? 1 : 0 }),
    'a type there is not': (entry) => ({ ...entry, type: 9 as 0 }),
    'a byte less': (entry) => ({
      ...entry,
      storedBytes: entry.storedBytes - 1,
      rawBytes: entry.rawBytes - 1,
    }),
    'no bytes': (entry) => ({ ...entry, storedBytes: 0 }),
    'much when decompressed': (entry) => ({ ...entry, codec: 1, rawBytes: 16_777_215 }),
    'more when decompressed than may be': (entry) => ({ ...entry, codec: 2, rawBytes: 0xffff_ffff }),
    'beyond the pack': (entry) => ({ ...entry, offset: 0xffff_ff00 }),
    'the header': (entry) => ({ ...entry, offset: 0 }),
  }
  for (const [what, lie] of Object.entries(lies)) {
    const forge = await Forge.create()
    const leaf = forge.leaf('a')
    const id = await forge.commit(forge.node(1, [stored(leaf), stored(leaf)]), 2 * REGION_BYTES, lie)
    const repo = await Repository.open(forge.store)
    const expected = /^ERR_(CORRUPT_(NODE|BLOB|INDEX|PACK)|CHUNK_MISSING)$/
    t.match(await codeOf(repo.restore(id, targetFrom(DISCARD), { workers: 0 })), expected, what)
    t.match(await codeOf(repo.openImage(id).then((image) => image.read(0, 10))), expected, what)
    t.ok((await repo.check()).findings.length > 0, `${what}: the check finds it`)
    t.ok((await repo.check({ readData: true, workers: 0 })).findings.length > 0)
  }
})

test('an intact copy of a node is found beside a damaged one', async (t) => {
  const forge = await Forge.create()
  const build = (): Uint8Array => forge.node(1, [stored(forge.leaf('a')), stored(forge.leaf('b'))])
  const damaged = await forge.commit(build(), 2 * REGION_BYTES, (entry) => ({ ...entry, offset: 64 }))
  await forge.commit(build(), 2 * REGION_BYTES)
  const image = await (await Repository.open(forge.store)).openImage(damaged)
  t.same(await image.read(0, 4096), noise('a', 4096))
})
