// What lengths tell whoever holds an encrypted repository: packs and records are filled up, and what fills them up is
// authenticated as all else is.
import { createHash } from 'node:crypto'
import {
  CODEC,
  createHasher,
  encryptedRecords,
  type PackId,
  packIdFrom,
  paddedLength,
  RECORD_TYPE,
  type ReadableStore,
  type Store,
} from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import fc from 'fast-check'
import { test } from 'tap'
import { BLOB_TYPE } from '../dist/format/blob-entry.js'
import { MAX_FENCE_BYTES } from '../dist/format/limits.js'
import { packName } from '../dist/format/object-names.js'
import { packCipher } from '../dist/format/pack-cipher.js'
import { assertPadding, packFileBytes, readPackTrailer } from '../dist/format/pack-file.js'
import { PackAssembler } from '../dist/pack/pack-assembler.js'
import { verifiedEntries } from '../dist/pack/pack-uploader.js'
import {
  backUp,
  codeOf,
  codeOfCall,
  copyOf,
  ENCRYPTED,
  KEY_FILE,
  keysOf,
  newRepository,
  noise,
  objectNames,
  openRepository,
  replaceObject,
  restored,
  SETTINGS,
  sameBytes,
} from './adversity.ts'

const KEY = noise('pack key', 32)
const HEADER_BYTES = 64
const TAG_BYTES = 16
const SUITE_AES = 1

test('few lengths are visible, and none costs much', async (t) => {
  // Lengths that the paper's definition gives: a length of n bits keeps its first log2 n + 1 bits.
  const known = [
    [8, 8],
    [9, 10],
    [33, 36],
    [1000, 1024],
    [1025, 1088],
    [100_000, 100_352],
    [1_000_000, 1_015_808],
    [33 * 1024 ** 2 + 1, 34 * 1024 ** 2],
    [2 ** 31, 2 ** 31],
  ] as const
  for (const [bytes, padded] of known) t.equal(paddedLength(bytes, 1), padded, `${bytes}`)
  const length = fc.integer({ min: 1, max: 2 ** 28 })
  fc.assert(
    fc.property(length, length, fc.constantFrom(1, 1024, 4096), (a, b, step) => {
      const [padded, other] = [paddedLength(a, step), paddedLength(b, step)]
      if (padded < a || padded % step !== 0) throw new Error('too short')
      if (padded > Math.max(Math.ceil(a / step) * step, a * 1.12)) throw new Error(`${a} costs too much`)
      if (paddedLength(padded, step) !== padded) throw new Error('a padded length is padded again')
      if (a <= b !== padded <= other && padded !== other) throw new Error('not ascending')
    }),
    { numRuns: 2000 },
  )
  const visible = new Set<number>()
  for (let bytes = 1; bytes <= 2 ** 22; bytes += 512) visible.add(paddedLength(bytes, 4096))
  t.ok(visible.size < 200, `${visible.size} lengths up to 4 MiB`)
})

/** Names and lengths of all objects, by the kind of object. */
async function lengthsOf(store: Store): Promise<Record<string, readonly number[]>> {
  const lengths: Record<string, number[]> = {}
  for await (const { name, sizeBytes } of store.list('')) {
    const kind = name.split('/')[0]!
    lengths[kind] = [...(lengths[kind] ?? []), sizeBytes].sort((a, b) => a - b)
  }
  return lengths
}

/** Lengths of the objects of a repository with one snapshot, of an image that compresses well and one that does not. */
async function lengthsWith(
  image: Uint8Array,
  options: { readonly name?: string; readonly host?: string; readonly tags?: readonly string[] },
  settings = ENCRYPTED,
): Promise<Record<string, readonly number[]>> {
  const store = new MemoryStore()
  // Keys, and so cuts, that are the same every time, and room for all chunks in one pack.
  let draws = 0
  const random = (length: number): Uint8Array => noise(`draw ${draws++}`, length)
  const repo = await newRepository(store, { ...settings, random, packBytes: 1024 * 1024 })
  const { id } = await backUp(repo, image, options)
  await repo.forget(id)
  return await lengthsOf(store)
}

test('repositories that differ a little have objects of the same lengths', async (t) => {
  const image = noise('image', 150_000)
  const wanted = await lengthsWith(image, { name: 'a', host: 'b' })
  t.same(Object.keys(wanted).sort(), ['config', 'forget', 'index', 'keys', 'packs', 'sessions', 'snapshots'])
  const others = {
    'long names': { name: 'web-01/sda '.repeat(6), host: 'a.host.of.some.length', tags: ['daily', 'old'] },
    'no names': { name: 'c', host: '' },
  }
  for (const [what, options] of Object.entries(others))
    t.same(await lengthsWith(image, options), wanted, what)
  for (const bytes of [149_900, 149_000, 147_500])
    t.same(await lengthsWith(image.subarray(0, bytes), {}), wanted, `${bytes} bytes`)
  // Text of another compressed length in the place of some blocks.
  const similar = image.slice()
  similar.fill(7, 8192, 9500)
  t.same(await lengthsWith(similar, {}), wanted, 'a chunk that compresses')

  const plain = await lengthsWith(image, { name: 'a', host: 'b' }, SETTINGS)
  t.notSame(await lengthsWith(similar, {}, SETTINGS), plain, 'without encryption all lengths are as they are')
})

test('records have few lengths, and fences are told from snapshots by theirs', async (t) => {
  const records = encryptedRecords(KEY)
  const lengthOf = (payloadBytes: number): number =>
    Buffer.concat(records.seal(RECORD_TYPE.snapshot, 'x', noise('p', payloadBytes))).length
  t.equal(lengthOf(0), MAX_FENCE_BYTES)
  t.equal(lengthOf(188), MAX_FENCE_BYTES)
  t.equal(lengthOf(189), 1024)
  t.equal(lengthOf(956), 1024)
  t.equal(lengthOf(957), 2048)
  t.equal(lengthOf(40_000), 40_960)
  t.equal(lengthOf(1_000_000), 1_015_808)
  for (const payloadBytes of [0, 1, 188, 189, 956, 957, 5000]) {
    const payload = noise('payload', payloadBytes)
    const record = Buffer.concat(records.seal(RECORD_TYPE.mark, 'gc/1.mark', payload))
    t.equal(Buffer.compare(records.open(RECORD_TYPE.mark, 'gc/1.mark', record), payload), 0)
  }
})

/** A sealed pack of so many blobs, of a fixed salt. */
function packOf(blobs: number, blobBytes: number, packKey: Uint8Array | undefined = KEY): Uint8Array {
  const cipher = packCipher(packKey, noise('salt', 32))
  const bytes = packFileBytes(blobs * (blobBytes + TAG_BYTES), blobs, cipher.suite)
  const pack = new PackAssembler(new ArrayBuffer(bytes), cipher)
  for (let i = 0; i < blobs; i++) {
    const blob = noise(`blob ${i}`, blobBytes)
    pack.append(noise(`id ${i}`, 32), BLOB_TYPE.chunk, CODEC.none, blob, blobBytes)
  }
  const { memory, fileBytes } = pack.seal()
  return new Uint8Array(memory, 0, fileBytes)
}

const idOf = (file: Uint8Array): PackId => packIdFrom(createHasher().hash(file))

test('the frame of an encrypted pack says nothing of what is in it', async (t) => {
  const [few, many] = [packOf(3, 40_000), packOf(60, 1950)]
  t.equal(few.length, many.length)
  // Between header and hash nothing is in the clear: the two differ only where random bytes would.
  const [a, b] = [Buffer.from(few), Buffer.from(many)]
  t.equal(Buffer.compare(a.subarray(0, HEADER_BYTES), b.subarray(0, HEADER_BYTES)), 0)
  t.equal(Buffer.compare(a.subarray(-8), b.subarray(-8)), 0)
  for (const file of [a, b]) {
    const body = file.subarray(HEADER_BYTES, -8)
    t.notOk(body.includes(Buffer.alloc(16)), 'no run of zeros that would show where it was filled up')
    const counts = new Uint32Array(256)
    for (const byte of body) counts[byte]!++
    const expected = body.length / 256
    const chi2 = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    t.ok(chi2 < 400, `bytes are distributed evenly: ${chi2}`)
  }
})

test('every byte of what fills a pack up counts, and of what says where it lies', async (t) => {
  const file = packOf(5, 1000)
  const id = idOf(file)
  const header = file.subarray(0, HEADER_BYTES)
  const trailer = file.subarray(-64)
  const { blobsEnd, directoryOffset } = readPackTrailer(header, trailer, file.length, 'pack', KEY)
  t.equal(blobsEnd, HEADER_BYTES + 5 * 1016)
  t.equal(file.length, 8192)
  t.ok(directoryOffset - blobsEnd > TAG_BYTES, 'it was filled up')
  const flipped = (at: number): Uint8Array => {
    const altered = file.slice()
    altered[at]! ^= 1 << (at & 7)
    return altered
  }
  for (let at = blobsEnd; at < directoryOffset; at++) {
    const altered = flipped(at)
    if (codeOfCall(() => assertPadding(altered, 'pack', KEY)) !== 'ERR_CORRUPT_PACK') t.fail(`padding ${at}`)
    // Nothing in it is read, so what is damaged in it does not keep anybody from the blobs.
    if (at % 64 === 0) t.equal(verifiedEntries(id, altered, KEY).length, 5)
  }
  for (let at = directoryOffset; at < file.length; at++)
    if (codeOfCall(() => verifiedEntries(id, flipped(at), KEY)) !== 'ERR_CORRUPT_PACK') t.fail(`end ${at}`)
  for (let at = 0; at < HEADER_BYTES; at++)
    if (codeOfCall(() => verifiedEntries(id, flipped(at), KEY)) !== 'ERR_CORRUPT_PACK') t.fail(`header ${at}`)
  t.equal(
    codeOfCall(() => verifiedEntries(id, file, noise('another key', 32))),
    'ERR_CORRUPT_PACK',
  )
  // A pack that was drawn out by a granule, or lost one, with its end moved.
  for (const length of [file.length + 4096, file.length - 512]) {
    const moved = new Uint8Array(length)
    moved.set(file.subarray(0, Math.min(length, blobsEnd)))
    moved.set(file.subarray(directoryOffset), length - (file.length - directoryOffset))
    t.equal(
      codeOfCall(() => verifiedEntries(id, moved, KEY)),
      'ERR_CORRUPT_PACK',
    )
  }
})

test('a pack that says where its directory is must be right about it', async (t) => {
  const { length } = packOf(5, 1000)
  const trailerAt = length - 64
  const directoryAt = trailerAt - 5 * 48 - TAG_BYTES
  const lies = [
    [63, directoryAt],
    [directoryAt - 15, directoryAt],
    [directoryAt + 1, directoryAt],
    [2 ** 32 - 1, directoryAt],
    [64, directoryAt + 1],
    [64, directoryAt - 48],
    [64, trailerAt - 15],
    [64, 2 ** 32 - 1],
    [0, 0],
  ] as const
  /** The pack with a trailer that says this, sealed and hashed as it should be. */
  const forged = (blobsEnd: number, directoryOffset: number): Uint8Array => {
    const file = packOf(5, 1000)
    const cipher = packCipher(KEY, noise('salt', 32))
    const header = file.subarray(0, HEADER_BYTES)
    const fields = file.subarray(trailerAt, trailerAt + 24)
    const sealed = file.slice(directoryAt, trailerAt)
    const directory = cipher.openPart('directory', directoryAt, sealed, [header, fields])!
    const places = Buffer.alloc(8)
    places.writeUInt32LE(blobsEnd, 0)
    places.writeUInt32LE(directoryOffset, 4)
    cipher.sealPart('trailer', file, trailerAt, new Uint8Array(places), [header])
    cipher.sealPart('directory', file, directoryAt, directory, [header, fields])
    const hash = createHasher().hashParts([header, file.subarray(directoryAt, trailerAt + 24)])
    file.set(hash, trailerAt + 24)
    return file
  }
  const right = forged(64 + 5 * 1016, directoryAt)
  t.equal(verifiedEntries(idOf(right), right, KEY).length, 5)
  for (const [blobsEnd, directoryOffset] of lies) {
    const file = forged(blobsEnd, directoryOffset)
    const code = codeOfCall(() => verifiedEntries(idOf(file), file, KEY))
    t.equal(code, 'ERR_CORRUPT_PACK', `${blobsEnd}, ${directoryOffset}`)
  }
})

test('a check that reads data finds a pack whose filling was altered, under whatever name', async (t) => {
  const image = noise('image', 50_000)
  const store = new MemoryStore()
  await backUp(await newRepository(store, ENCRYPTED), image)
  const { pack: packKey } = await keysOf(store)
  for (const name of await objectNames(store, 'packs/')) {
    const file = await store.get(name)
    const trailer = readPackTrailer(file.subarray(0, 64), file.subarray(-64), file.length, name, packKey)
    const altered = file.slice()
    altered[trailer.blobsEnd + 1]! ^= 1
    const copy = await copyOf(store)
    await replaceObject(copy, name, altered)
    const { findings } = await (await openRepository(copy)).check({ readData: true, workers: 0 })
    t.match(findings, [{ code: 'ERR_CORRUPT_PACK', object: name }])

    // Somebody without the keys can rename it to what its bytes hash to.
    const renamed = packName(idOf(altered))
    await copy.putIfAbsent(renamed, [altered])
    const report = await (await openRepository(copy)).check({ readData: true, workers: 0 })
    t.ok(report.findings.some(({ object, code }) => object === renamed && code === 'ERR_CORRUPT_PACK'))

    // What is in it can be saved all the same.
    const repo = await openRepository(copy)
    await repo.repairPacks({ workers: 0 })
    const after = await repo.check({ readData: true, workers: 0 })
    t.notOk(after.findings.some(({ code }) => code === 'ERR_CHUNK_MISSING'))
  }
})

test('a prune leaves packs alone that are needed whole, however they were filled up', async (t) => {
  const store = new MemoryStore()
  const repo = await newRepository(store, ENCRYPTED)
  await backUp(repo, noise('image', 500_000))
  const plan = await repo.planPrune({ maxUnusedFraction: 0 })
  t.same(plan.packs, [])
  t.equal(plan.unusedFractionBefore, 0)
})

// --- reads -----------------------------------------------------------------------------------------------------

const STEP = 64 * 1024

interface SeenRead {
  readonly name: string
  readonly offset: number
  readonly end: number
  readonly fileBytes: number
}

/** A store that notes which ranges are read. */
function watched(store: MemoryStore): { readonly store: ReadableStore; readonly reads: SeenRead[] } {
  const reads: SeenRead[] = []
  const getRange: ReadableStore['getRange'] = async (name, offset, length, options) => {
    const fileBytes = (await store.stat(name))!.sizeBytes
    reads.push({ name, offset, end: offset + length, fileBytes })
    return await store.getRange(name, offset, length, options)
  }
  const readable: ReadableStore = {
    label: 'watched',
    get: store.get.bind(store),
    getRange,
    stat: store.stat.bind(store),
    list: store.list.bind(store),
    close: async () => {},
  }
  return { store: readable, reads }
}

/** Reads a repository in every way there is. */
async function readAll(store: ReadableStore, isEncrypted: boolean): Promise<void> {
  const repo = await Repository.open(store, isEncrypted ? { keyFile: KEY_FILE } : {})
  await restored(repo, 'latest')
  const image = await repo.openImage('latest')
  for (const offset of [0, 70_001, 900_000, 1_315_000]) await image.read(offset, 5000)
  await repo.check({ workers: 0, readData: { fraction: 0.1 } })
  await repo.planPrune()
  await repo.repairIndex({ dryRun: true })
}

test('what is read of encrypted packs begins and ends where it says nothing', async (t) => {
  const image = noise('image', 2_000_000)
  for (const isEncrypted of [true, false]) {
    const inner = new MemoryStore()
    const settings = { ...(isEncrypted ? ENCRYPTED : SETTINGS), packBytes: 1024 * 1024 }
    await backUp(await newRepository(inner, settings), image)
    const { store, reads } = watched(inner)
    await readAll(store, isEncrypted)
    const isHeader = ({ offset, end }: SeenRead): boolean => offset === 0 && end === HEADER_BYTES
    const telling = reads.filter(
      (read) =>
        !isHeader(read) &&
        (read.offset % STEP !== 0 || (read.end % STEP !== 0 && read.end !== read.fileBytes)),
    )
    t.ok(reads.length > 10, `${reads.length} reads`)
    if (isEncrypted) t.same(telling, [])
    else t.ok(telling.length > 10, 'without encryption no more is read than is needed')
  }
})

test('repositories that differ a little are read alike', async (t) => {
  const image = noise('image', 1_500_000)
  const similar = image.slice()
  // One chunk, behind all others that are read one by one, and not across a step.
  similar.fill(7, 1_312_000, 1_313_000)
  const seen: (readonly (readonly number[])[])[] = []
  for (const bytes of [image, similar]) {
    const inner = new MemoryStore()
    let draws = 0
    const random = (length: number): Uint8Array => noise(`draw ${draws++}`, length)
    const chunker = { kind: 'fixed', minBytes: 16384, averageBytes: 16384, maxBytes: 16384 } as const
    const regionBytes = 16 * 1024 * 1024
    const settings = { ...ENCRYPTED, random, packBytes: 4 * 1024 * 1024, chunker, regionBytes }
    await backUp(await newRepository(inner, settings), bytes)
    const { store, reads } = watched(inner)
    await readAll(store, true)
    seen.push(reads.map(({ offset, end }) => [offset, end]).sort())
  }
  t.same(seen[0], seen[1])
})

test('a pack that lacks its end gives what it has, and does not learn what was wanted', async (t) => {
  const inner = new MemoryStore()
  const image = noise('image', 300_000)
  await backUp(await newRepository(inner, { ...ENCRYPTED, packBytes: 1024 * 1024 }), image)
  const { pack: packKey } = await keysOf(inner)
  for (const name of await objectNames(inner, 'packs/')) {
    const file = await inner.get(name)
    const trailer = readPackTrailer(file.subarray(0, 64), file.subarray(-64), file.length, name, packKey)
    if (trailer.blobsEnd < 100_000) continue
    for (const [length, isWhole] of [
      [trailer.blobsEnd + 1, true],
      [trailer.blobsEnd - 1, false],
    ] as const) {
      const copy = await copyOf(inner)
      await replaceObject(copy, name, file.slice(0, length))
      const { store, reads } = watched(copy)
      const repo = await Repository.open(store, { keyFile: KEY_FILE })
      if (isWhole) t.ok(sameBytes(await restored(repo, 'latest'), image))
      else t.match(await codeOf(restored(repo, 'latest')), /^ERR_CORRUPT_/)
      for (const { offset, end, fileBytes } of reads)
        t.ok(offset % STEP === 0 && (end % STEP === 0 || end >= fileBytes), 'up to its end, or to a step')
    }
  }
})

// --- the format, frozen ----------------------------------------------------------------------------------------

const GOLDEN_SHA256 = {
  pack: '1d58e253d31c416f5b679fc3d7af0b624459661069dac1fe5e618ad129c86069',
  record: 'db722c1e62192e2bcc22590864df54f92bab0256ff46f5ef57c84e5024d2ff6c',
  longRecord: '2ed17e41420212818c60b588d0ec7790713e5632420eb2772880eddf3fe1fe70',
} as const

test('the format is frozen: sealed packs and records of fixed salts', async (t) => {
  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
  const records = encryptedRecords(KEY, () => noise('salt', 32))
  const sealed = (bytes: number): Uint8Array =>
    Buffer.concat(records.seal(RECORD_TYPE.snapshot, 'snapshots/a', noise('payload', bytes)))
  t.same(
    { pack: sha256(packOf(5, 1000)), record: sha256(sealed(100)), longRecord: sha256(sealed(5000)) },
    GOLDEN_SHA256,
  )
  t.equal(packFileBytes(0, 0, SUITE_AES), 4096)
})
