// Measures how long planning a prune takes, and how much memory, on a long history of a large disk.
//
//   node packages/repo/scripts/plan-history.mjs make FOLDER [SNAPSHOTS] [GIB]
//   node packages/repo/scripts/plan-history.mjs plan FOLDER
//
// `make` writes the repository: trees, index and snapshots are real, but packs of chunks are empty files, since a
// plan reads none of them. Every second snapshot is forgotten. `plan` runs alone, so that its memory can be told.

import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createHasher, nodeIdFrom, packIdFrom, plainRecords, systemRandom } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { decodeConfig } from '../dist/config/config-record.js'
import { deriveRepositoryKeys } from '../dist/config/repository-keys.js'
import { BLOB_TYPE } from '../dist/format/blob-entry.js'
import { packName } from '../dist/format/object-names.js'
import { packEndBytes } from '../dist/format/pack-file.js'
import { encodeNode } from '../dist/format/tree-node.js'
import { PackUploader } from '../dist/pack/pack-uploader.js'
import { SmallPacks } from '../dist/pack/small-packs.js'
import { WriterSession } from '../dist/session/writer-session.js'
import { TreeBuilder } from '../dist/tree/tree-builder.js'

const CHUNK_BYTES = 256 * 1024
const CHUNKS_PER_REGION = 256
const REGION_BYTES = CHUNK_BYTES * CHUNKS_PER_REGION
const CHUNKS_PER_PACK = 128
/** Of its regions, a backup finds so many changed, and in them so many chunks. */
const CHANGED_REGIONS = 0.01
const CHANGED_CHUNKS = 26

const [mode, folder, snapshots = '1000', gib = '256'] = process.argv.slice(2)
if (mode === 'make' && folder !== undefined) await make(folder, Number(snapshots), Number(gib))
else if (mode === 'plan' && folder !== undefined) await plan(folder)
else process.exitCode = 2

async function make(path, count, gibibytes) {
  const store = await LocalStore.create(path)
  await Repository.init(store, { crypto: 'none', regionBytes: REGION_BYTES })
  const keys = deriveRepositoryKeys(decodeConfig(await store.get('config')))
  const hasher = createHasher(keys.nodeId)
  const objects = { store, records: plainRecords }
  const signal = new AbortController().signal
  const regions = Array.from({ length: gibibytes * 16 }, () => randomBytes(32 * CHUNKS_PER_REGION))
  const leaves = new Array(regions.length)
  let changed = regions.map((_, i) => i)
  for (let number = 0; number < count; number++) {
    const session = await WriterSession.begin(
      objects,
      { random: systemRandom, now: () => new Date() },
      signal,
    )
    const uploader = new PackUploader(objects, undefined, session.id, signal)
    const nodes = new SmallPacks(uploader, undefined, 32 * 1024 * 1024, systemRandom)
    const addNode = (encoded) => {
      const id = new Uint8Array(hasher.hash(encoded))
      nodes.append(id, BLOB_TYPE.node, 0, encoded, encoded.length)
      return id
    }
    const chunks = []
    for (const region of changed) {
      const ids = regions[region]
      const fresh = number === 0 ? CHUNKS_PER_REGION : CHANGED_CHUNKS
      for (let i = 0; i < fresh; i++) {
        const at = 32 * (number === 0 ? i : Math.floor(Math.random() * CHUNKS_PER_REGION))
        if (number > 0) randomBytes(32).copy(ids, at)
        chunks.push(new Uint8Array(ids.subarray(at, at + 32)))
      }
    }
    for (let at = 0; at < chunks.length; at += CHUNKS_PER_PACK)
      uploader.list(await emptyPack(path, chunks.slice(at, at + CHUNKS_PER_PACK)))
    for (const region of changed) leaves[region] = addNode(leafOf(regions[region]))
    const tree = new TreeBuilder(addNode)
    for (const leaf of leaves) tree.leaf(leaf)
    const root = tree.finish(() => new Uint8Array(0))
    nodes.flush()
    await uploader.finish()
    await session.commit(snapshotOf(session.id, number, regions.length * REGION_BYTES, root), signal)
    changed = Array.from({ length: Math.ceil(regions.length * CHANGED_REGIONS) }, () =>
      Math.floor(Math.random() * regions.length),
    )
    if (number % 100 === 99) process.stderr.write(`${number + 1} snapshots\n`)
  }
  const repository = await Repository.open(store)
  let forget = false
  for await (const { id } of repository.snapshots()) {
    if (forget) await repository.forget(id)
    forget = !forget
  }
}

async function emptyPack(path, ids) {
  const id = packIdFrom(randomBytes(32))
  const file = join(path, packName(id))
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, '')
  const entries = ids.map((chunk, i) => ({
    id: chunk,
    type: BLOB_TYPE.chunk,
    codec: 0,
    offset: 64 + i * CHUNK_BYTES,
    storedBytes: CHUNK_BYTES,
    rawBytes: CHUNK_BYTES,
  }))
  const fileBytes = 64 + ids.length * CHUNK_BYTES + packEndBytes(ids.length, 0)
  return { id, salt: randomBytes(32), fileBytes, entries }
}

function leafOf(ids) {
  return encodeNode({
    level: 0,
    kinds: new Uint8Array(CHUNKS_PER_REGION),
    spans: new Uint32Array(CHUNKS_PER_REGION).fill(CHUNK_BYTES),
    ids: new Uint8Array(ids),
  })
}

function snapshotOf(id, number, sizeBytes, root) {
  const source = { kind: 'memory', label: 'simulated', logicalSectorBytes: 512, physicalSectorBytes: 512 }
  const none = { bytesTotal: 0, bytesRead: 0, bytesHole: 0, bytesNew: 0, bytesStored: 0 }
  return {
    id,
    name: 'disk',
    host: 'host',
    time: new Date(Date.UTC(2023, 0, 1) + number * 86_400_000).toISOString(),
    tags: [],
    parent: undefined,
    program: 'simulation',
    checkpoint: false,
    volumes: [{ sizeBytes, root: nodeIdFrom(root), imageDigest: '00'.repeat(32), source, badRanges: [] }],
    stats: { ...none, chunksNew: 0, chunksKnown: 0, seconds: 0 },
  }
}

async function plan(path) {
  const repository = await Repository.open(new LocalStore(path))
  const started = performance.now()
  const { packs, bytesBefore, bytesRemoved, bytesRepacked, ...rest } = await repository.planPrune()
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage()
  const cpuSeconds = (user + system) / 1e6
  const maxRssMib = process.resourceUsage().maxRSS / 1024
  const { unusedFractionBefore, unusedFractionAfter } = rest
  console.log({
    seconds,
    cpuSeconds,
    maxRssMib,
    packs: packs.length,
    bytesBefore,
    bytesRemoved,
    bytesRepacked,
    unusedFractionBefore,
    unusedFractionAfter,
  })
}
