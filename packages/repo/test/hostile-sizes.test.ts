// Objects that are rightly sealed, and made to take as much memory or time as they can; and that Platter writes none that
// its readers would refuse.
import {
  CODEC,
  type PackId,
  plainRecords,
  RECORD_TYPE,
  type Store,
  type StoreCallOptions,
  type StoreStat,
  SUITE,
} from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { test } from 'tap'
import { BLOB_ENTRY_BYTES, BLOB_TYPE, type BlobEntry } from '../dist/format/blob-entry.js'
import { decodeIndexSegment, encodeIndexSegment } from '../dist/format/index-segment.js'
import {
  ENTRIES_PER_INDEX_SEGMENT,
  ENTRIES_PER_PACK,
  MAX_INDEX_SEGMENT_BYTES,
  MAX_INDEX_SEGMENT_PACKS,
  MAX_PACK_ENTRIES,
  MAX_STORED_BLOB_BYTES,
} from '../dist/format/limits.js'
import { indexSegmentName } from '../dist/format/object-names.js'
import { packCipher } from '../dist/format/pack-cipher.js'
import {
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  packFileBytes,
  readPackTrailer,
} from '../dist/format/pack-file.js'
import { ChunkIndex, PLACE_WORDS } from '../dist/index/chunk-index.js'
import { ChunkIndexBuilder, MAX_EXPECTED_ENTRIES } from '../dist/index/chunk-index-builder.js'
import { ClaimTable } from '../dist/index/claim-table.js'
import { PackAssembler } from '../dist/pack/pack-assembler.js'
import { PackUploader } from '../dist/pack/pack-uploader.js'
import {
  backUp,
  codeOf,
  codeOfCall,
  diskImage,
  newRepository,
  noise,
  objectNames,
  openRepository,
  restored,
  sameBytes,
} from './adversity.ts'
import { SteppedStore } from './interleaving.ts'

const SESSION = '0123456789abcdef0123456789abcdef' as Parameters<typeof indexSegmentName>[0]
const NAME = indexSegmentName(SESSION, 0)
const PACK_ROW_BYTES = 72

/** A segment that lists so many packs, each said to have so many bytes and entries, and these entries of the first. */
function segmentOf(
  packs: number,
  fileBytes: number,
  entriesSaid: number,
  entries: readonly BlobEntry[] = [],
): Uint8Array {
  const idsAt = 16 + packs * PACK_ROW_BYTES
  const placesAt = idsAt + entries.length * 36
  const payload = Buffer.alloc(placesAt + entries.length * 16)
  payload.writeUInt32LE(entries.length, 0)
  payload.writeUInt32LE(packs, 4)
  for (let i = 0; i < packs; i++) {
    payload.writeUInt32LE(fileBytes, 16 + i * PACK_ROW_BYTES + 64)
    payload.writeUInt32LE(entriesSaid, 16 + i * PACK_ROW_BYTES + 68)
  }
  for (const [i, { id, offset, storedBytes, rawBytes, codec, type }] of entries.entries()) {
    payload.set(id, idsAt + i * 32)
    const at = placesAt + i * 16
    payload.writeUInt32LE(offset, at)
    payload.writeUInt32LE(storedBytes, at + 4)
    payload.writeUInt32LE(rawBytes, at + 8)
    payload.writeUInt16LE(codec | (type << 8), at + 12)
  }
  return new Uint8Array(Buffer.concat(plainRecords.seal(RECORD_TYPE.index, NAME, payload)))
}

const blob = (storedBytes: number): BlobEntry => ({
  id: noise('blob', 32),
  type: BLOB_TYPE.chunk,
  codec: CODEC.lz4,
  offset: PACK_HEADER_BYTES,
  storedBytes,
  rawBytes: 2 ** 24 - 1,
})

test('segments that list too much', async (t) => {
  const use = (bytes: Uint8Array): string =>
    codeOfCall(() => {
      const segment = decodeIndexSegment(NAME, bytes, plainRecords)
      for (let i = 0; i < segment.entryCount; i++) segment.entry(i)
      segment.copyPlaces(new Uint32Array(segment.entryCount * PLACE_WORDS), 0)
    })
  const room = packFileBytes(0, MAX_PACK_ENTRIES + 1, SUITE.none)
  t.equal(use(segmentOf(MAX_INDEX_SEGMENT_PACKS, 200, 0)), 'success')
  t.equal(use(segmentOf(MAX_INDEX_SEGMENT_PACKS + 1, 200, 0)), 'ERR_CORRUPT_INDEX')
  t.equal(use(segmentOf(1, room, MAX_PACK_ENTRIES)), 'success')
  t.equal(use(segmentOf(1, room, MAX_PACK_ENTRIES + 1)), 'ERR_CORRUPT_INDEX')
  t.equal(use(segmentOf(1, 2 ** 26, 1, [blob(MAX_STORED_BLOB_BYTES)])), 'success')
  t.equal(use(segmentOf(1, 2 ** 26, 1, [blob(MAX_STORED_BLOB_BYTES + 1)])), 'ERR_CORRUPT_INDEX')
  t.throws(
    () => decodeIndexSegment(NAME, new Uint8Array(MAX_INDEX_SEGMENT_BYTES + 1), plainRecords),
    /longer than any may be/,
  )
})

test('a pack that lists too many blobs is refused by its trailer', async (t) => {
  const read = (entries: number): string =>
    codeOfCall(() => {
      const trailer = Buffer.alloc(PACK_TRAILER_BYTES)
      trailer.writeUInt32LE(PACK_HEADER_BYTES, 0)
      trailer.writeUInt32LE(entries * BLOB_ENTRY_BYTES, 4)
      trailer.writeUInt32LE(entries, 8)
      trailer.write('PLTRPEND', 56, 'latin1')
      const fileBytes = packFileBytes(0, entries, SUITE.none)
      readPackTrailer(new Uint8Array(PACK_HEADER_BYTES), trailer, fileBytes, 'a pack', undefined)
    })
  t.equal(read(MAX_PACK_ENTRIES), 'success')
  t.equal(read(MAX_PACK_ENTRIES + 1), 'ERR_CORRUPT_PACK')
})

// What looks through all ids that begin alike, for each of them, is not done in hours.
test('ids that begin alike, and copies of one blob, cost no more than others', {
  timeout: 120_000,
}, async (t) => {
  const count = 400_000
  const alike = new Uint8Array(count * 32)
  for (let i = 0; i < count; i++) new DataView(alike.buffer).setUint32(i * 32 + 28, i)
  const index = new ChunkIndex([], count, alike, new Uint32Array(count * PLACE_WORDS))
  const table = new ClaimTable()
  table.add(ClaimTable.allocate(count))
  for (let i = 0; i < count; i++) {
    const id = alike.subarray(i * 32, i * 32 + 32)
    if (index.find(id) !== i || index.nextCopy(i) !== -1) throw new Error(`${i} is found elsewhere`)
    if (!table.claim(id)) throw new Error(`${i} is claimed already`)
  }
  t.equal(index.find(noise('another', 32)), -1)
  t.notOk(table.claim(alike.subarray(32, 64)))
  const copies = new ChunkIndex([], count, new Uint8Array(count * 32), new Uint32Array(count * PLACE_WORDS))
  let entry = copies.find(new Uint8Array(32))
  for (let i = 0; i < count; i++) {
    if (entry !== i) throw new Error(`copy ${i} is ${entry}`)
    entry = i % 2 === 0 ? copies.nextCopy(entry) : copies.findNext(new Uint8Array(32), entry)
  }
  t.equal(entry, -1)
})

test('a pack is full when it has as many blobs as one may have', async (t) => {
  const bytes = packFileBytes(ENTRIES_PER_PACK, ENTRIES_PER_PACK, SUITE.none)
  const pack = new PackAssembler(new ArrayBuffer(bytes + 1000), packCipher(undefined, noise('salt', 32)))
  const id = noise('id', 32)
  for (let i = 0; i < ENTRIES_PER_PACK; i++) {
    if (!pack.fits(1)) t.fail(`${i} blobs are too many`)
    pack.append(id, BLOB_TYPE.chunk, CODEC.none, id.subarray(0, 1), 1)
  }
  t.notOk(pack.fits(1))
  t.ok(ENTRIES_PER_PACK <= MAX_PACK_ENTRIES)
})

test('an index segment is written before it has too many entries', { timeout: 120_000 }, async (t) => {
  const store = new MemoryStore()
  const signal = new AbortController().signal
  const uploader = new PackUploader({ store, records: plainRecords }, undefined, SESSION, signal)
  const one = blob(100)
  const packOf = (entries: number): Parameters<PackUploader['list']>[0] => ({
    id: Buffer.from(noise(`pack ${entries}`, 32)).toString('hex') as Parameters<
      PackUploader['list']
    >[0]['id'],
    salt: noise('salt', 32),
    fileBytes: 2 ** 25 + packFileBytes(0, entries, SUITE.none),
    entries: new Array<BlobEntry>(entries).fill(one),
  })
  for (const entries of [1, MAX_PACK_ENTRIES, ENTRIES_PER_INDEX_SEGMENT - MAX_PACK_ENTRIES - 1, 2])
    uploader.list(packOf(entries))
  await uploader.finish()
  const lengths: number[] = []
  for (const name of await objectNames(store, 'index/')) {
    const bytes = await store.get(name)
    if (bytes.length > MAX_INDEX_SEGMENT_BYTES) t.fail('a segment is longer than readers accept')
    lengths.push(decodeIndexSegment(name, bytes, plainRecords).entryCount)
  }
  t.same(lengths, [ENTRIES_PER_INDEX_SEGMENT, 2])
})

/** A store that lists index segments with sizes they do not have. */
class LyingStore extends SteppedStore {
  readonly #sizeBytes: number

  constructor(inner: Store, sizeBytes: number) {
    super(inner, async () => {})
    this.#sizeBytes = sizeBytes
  }

  override async *list(prefix: string, options?: StoreCallOptions): AsyncIterable<StoreStat> {
    for await (const stat of super.list(prefix, options))
      yield stat.name.startsWith('index/') ? { ...stat, sizeBytes: this.#sizeBytes } : stat
  }
}

test('sizes of index segments that a store lists and that are not so', async (t) => {
  const store = new MemoryStore()
  const image = diskImage('lies')
  const { id } = await backUp(await newRepository(store), image)
  // One with more entries than a small claim table has room for, and very many of none.
  const entries = Array.from({ length: 20_000 }, (_, i) => ({ ...blob(1), id: noise(`entry ${i}`, 32) }))
  const pack = { id: '0'.repeat(64) as PackId, salt: new Uint8Array(32), fileBytes: 2 ** 27, entries }
  await store.putIfAbsent(NAME, encodeIndexSegment(NAME, [pack], plainRecords))
  for (let i = 1; i <= 500; i++) {
    const name = indexSegmentName(SESSION, i)
    await store.putIfAbsent(name, encodeIndexSegment(name, [], plainRecords))
  }
  for (const sizeBytes of [0, MAX_INDEX_SEGMENT_BYTES, Number.MAX_SAFE_INTEGER]) {
    const repo = await openRepository(new LyingStore(store, sizeBytes))
    t.ok(sameBytes(await restored(repo, id), image), `restored with ${sizeBytes}`)
    t.equal(await codeOf(backUp(repo, image)), 'success', `backed up with ${sizeBytes}`)
    // That pack is not there, which is all that is wrong.
    t.match((await repo.check()).findings, [{ code: 'ERR_CORRUPT_PACK' }], `checked with ${sizeBytes}`)
  }
})

test('memory for an index follows what was read', async (t) => {
  const entries = Array.from({ length: 100 }, (_, i) => ({ ...blob(1), id: noise(`entry ${i}`, 32) }))
  const pack = { id: '0'.repeat(64) as PackId, salt: new Uint8Array(32), fileBytes: 2 ** 27, entries }
  const bytes = new Uint8Array(Buffer.concat(encodeIndexSegment(NAME, [pack], plainRecords)))
  const segment = decodeIndexSegment(NAME, bytes, plainRecords)
  const exact = new ChunkIndexBuilder(200)
  exact.add(segment)
  t.equal(exact.capacity, 200, 'what is expected')
  const lied = new ChunkIndexBuilder(2 ** 40)
  lied.add(segment)
  t.equal(lied.capacity, MAX_EXPECTED_ENTRIES, 'but no more than that')
  t.equal(lied.build().size, 100)
  const short = new ChunkIndexBuilder(150)
  for (let i = 0; i < 3; i++) short.add(segment)
  t.equal(short.capacity, 300, 'and more when more comes')
})
