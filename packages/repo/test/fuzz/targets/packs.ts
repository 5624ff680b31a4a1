// Packs: trailer and directory, blobs and their codecs, in packs with and without encryption; index segments; nodes.
import {
  CODEC,
  type CodecNumber,
  compress,
  createHasher,
  decompress,
  type PackId,
  plainRecords,
  RECORD_TYPE,
  type RecordSealer,
} from '@platter/core'
import { BLOB_TYPE, type BlobEntry } from '../../../dist/format/blob-entry.js'
import {
  decodeIndexSegment,
  encodeIndexSegment,
  type IndexSegment,
} from '../../../dist/format/index-segment.js'
import { packCipher } from '../../../dist/format/pack-cipher.js'
import { PACK_TRAILER_BYTES, readPackDirectory, readPackTrailer } from '../../../dist/format/pack-file.js'
import { decodeNode, encodeNode, type TreeNode } from '../../../dist/format/tree-node.js'
import { chunkIndexOf } from '../../../dist/index/chunk-index-builder.js'
import { BlobOpener } from '../../../dist/pack/blob-opener.js'
import { PackAssembler } from '../../../dist/pack/pack-assembler.js'
import { noise } from '../../adversity.ts'
import { assertStable, type FuzzTarget, sound } from '../target.ts'
import { hexOf, KEY, payloadOf, SESSION, sealed } from './fixtures.ts'

const SALT = noise('salt', 32)
const TEXT = Buffer.from('A line of text, as compressors like it.\n'.repeat(40))
const hasher = createHasher()

/** A small pack: a chunk as it is, a compressed one, and a node. */
function packOf(key: Uint8Array | undefined): {
  readonly file: Uint8Array
  readonly entries: readonly BlobEntry[]
} {
  const assembler = new PackAssembler(new ArrayBuffer(8192), packCipher(key, SALT))
  const blobs = [
    { type: BLOB_TYPE.chunk, codec: CODEC.none, stored: noise('chunk', 100), raw: noise('chunk', 100) },
    { type: BLOB_TYPE.chunk, codec: CODEC.lz4, stored: compress('lz4', TEXT)!, raw: TEXT },
    { type: BLOB_TYPE.node, codec: CODEC.none, stored: LEAF, raw: LEAF },
  ]
  for (const { type, codec, stored, raw } of blobs)
    assembler.append(hasher.hash(raw).slice(), type, codec, stored, raw.length)
  const { memory, fileBytes, entries } = assembler.seal()
  return { file: new Uint8Array(memory, 0, fileBytes), entries }
}

const LEAF = encodeNode({
  level: 0,
  kinds: Uint8Array.of(0, 1, 0, 2, 0),
  spans: Uint32Array.of(8192, 65_536, 4096, 4096, 100),
  ids: noise('ids', 96),
})
const INTERIOR = encodeNode({
  level: 1,
  kinds: Uint8Array.of(0, 1, 0),
  spans: Uint32Array.of(1, 300, 1),
  ids: noise('ids', 64),
})

const PACK_CODES = ['ERR_CORRUPT_PACK', 'ERR_UNSUPPORTED_VERSION'] as const
const HEADER_BYTES = 64

/** Input: header, directory and trailer, and behind them what the length of the file differs by, modulo 256. */
function directoryTarget(name: string, key: Uint8Array | undefined): FuzzTarget {
  const { file, entries } = packOf(key)
  const trailer = file.subarray(-PACK_TRAILER_BYTES)
  const header = file.subarray(0, HEADER_BYTES)
  const { directoryOffset } = readPackTrailer(header, trailer, file.length, name, key)
  const whole = Buffer.concat([header, file.subarray(directoryOffset), Buffer.of(0)])
  return {
    name,
    form: 'bytes',
    seeds: [new Uint8Array(whole)],
    codes: PACK_CODES,
    run(input) {
      const header = input.subarray(0, HEADER_BYTES)
      const end = input.slice(HEADER_BYTES, -1)
      const fileBytes = directoryOffset + end.length + ((((input.at(-1) ?? 0) + 128) & 255) - 128)
      if (key === undefined) fixHash(header, end)
      const read = readPackDirectory(header, end, fileBytes, name, key)
      for (const { offset, storedBytes, rawBytes } of read)
        sound(
          offset >= HEADER_BYTES && offset + storedBytes <= fileBytes - end.length && rawBytes < 2 ** 24,
          'an entry reaches beyond the blobs',
        )
      if (key !== undefined) sound(read.length === entries.length, 'an altered directory opens')
    },
  }
}

/** Makes hash and magic of a trailer fit what is before them. */
function fixHash(header: Uint8Array, end: Uint8Array): void {
  const at = end.length - PACK_TRAILER_BYTES
  if (at < 0) return
  end.set(hasher.hashParts([header, end.subarray(0, at + 24)]), at + 24)
  end.set(Buffer.from('PLTRPEND', 'latin1'), at + 56)
}

/** Input: which blob (1), codec (1), declared length (4), stored bytes. Its id is that of the right plaintext. */
function blobTarget(name: string, key: Uint8Array | undefined): FuzzTarget {
  const opener = new BlobOpener(key)
  const { file, entries } = packOf(key)
  const plain = [noise('chunk', 100), new Uint8Array(TEXT), LEAF]
  return {
    name,
    form: 'bytes',
    seeds: entries.map(({ codec, rawBytes, offset, storedBytes }, i) => {
      const head = Buffer.alloc(6)
      head[0] = i
      head[1] = codec
      head.writeUInt32LE(rawBytes, 2)
      return new Uint8Array(Buffer.concat([head, file.subarray(offset, offset + storedBytes)]))
    }),
    codes: [],
    run(input) {
      if (input.length < 7) return 'too short'
      const head = Buffer.from(input.subarray(0, 6))
      const number = head[0]! % entries.length
      const stored = input.subarray(6)
      const codec = (head[1]! % 3) as CodecNumber
      const rawBytes = 1 + (((head.readUInt32LE(2) - 1) >>> 0) % (2 ** 24 - 1))
      const entry = { ...entries[number]!, codec, rawBytes, storedBytes: stored.length }
      const opened = opener.open(entry, SALT, stored, hasher)
      sound(opened === undefined || Buffer.compare(opened, plain[number]!) === 0, 'a blob has other bytes')
      return opened === undefined ? 'refused' : 'opened'
    },
  }
}

/** Input: declared length (4), compressed bytes. */
function codecTarget(
  codec: CodecNumber,
  name: 'lz4' | 'zstd',
  seeds: readonly Uint8Array[],
  largest: number,
): FuzzTarget {
  return {
    name: `codec-${name}`,
    form: 'bytes',
    seeds,
    codes: ['ERR_CORRUPT_BLOB'],
    run(input) {
      const declared = input.length < 4 ? 0 : Buffer.from(input.subarray(0, 4)).readUInt32LE(0)
      const rawBytes = declared % (largest + 1)
      const raw = decompress(codec, input.subarray(4), rawBytes)
      sound(raw.length === rawBytes, 'a blob decompresses to another length')
    },
  }
}

const declaring = (length: number, stored: Uint8Array): Uint8Array => {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(length)
  return new Uint8Array(Buffer.concat([head, stored]))
}
const LZ4_SEEDS = [TEXT, Buffer.alloc(100_000), Buffer.concat([noise('n', 500), TEXT, noise('n', 500)])].map(
  (raw) => declaring(raw.length, compress('lz4', raw)!),
)
// Frames that Node 20 cannot make: repeats, zeros, letters and words of a text, what is too short, with a checksum. By the
// zstd of Node 24, at levels 1, 1, 19, 19, 1 and 3.
const ZSTD_FRAMES: readonly (readonly [number, string])[] = [
  [1600, 'KLUv/WBABY0BAIQCQSBsaW5lIG9mIHRleHQsIGFzIGNvbXByZXNzb3JzIGxpa2UgaXQuCgEAqHD9qgw='],
  [100000, 'KLUv/aCghgEAVQAAEAAAAQCbhjnAAg=='],
  [
    1500,
    'KLUv/WDcBMUSAJpcHAkSoCVJB982siXwv21k8////1cgkACHAIwAYrbkgYwxYUqmEeOBJmNwWg/XtetxQ3qKZ8QnnM8j7Oc1' +
      'fb/MBSNVAZnkS9MrCOSUQCJ2RBja4w7Aa/mO4ptfIuwIHprE4jfNk/X3UVm9j4Ki6hgK8RljaHRpgXpyisA+eDMc9obNo5h2' +
      'A1Riymyft5Fu77wyxsc/IpOo1u0fMfnBwUUjYwdVkkO1fqDqpN8Bg0iirGM5dWysG1JL3f4+mKPSm5BoajWhxJnhKAhgl3pX' +
      'qZV3aRb8wqT7vEDjV5rMFgOUdIYztU7t1XYX/KPLf1AWYRpNsota3fQ1Mcrl+w1+VnwI1iscOtLtsEof0e2DwAM9Sehk7/N8' +
      'S+LnuM1mRraSjsyQvrsyD+8JOF3zEGSHHeslyK++EjOMJM2gd4VlnTTcPUYJAF/du3nOqjifTUBqpWOFQamNdnZGPuEGs3h7' +
      'Dynffra75iRwSvaTcuMgsQ5PwYqJnH8RiuBNhX1cVIBNRbLQGIH/Zlrlqns+jo3mlhKfU5AN5hs3Ipql7xdgCO++BnYBSyr4' +
      'FZPvm4WEV0o7GHfkEToGZ6j7FEczLl0aIMWrg0UNb1wqJwkubyIFG2XZrefJ8L9x4mG4Ox0Y9G7DwJbCzOOLalsn7y2YAUc7' +
      'KJkNjjVIsAExb5AS6XuZSZJfEc5u6dJNx8HQ2f1l7pr0zDlxsAR8jfJP1bBEem+vh1PQXruE5O1hHVmGeP7V3o2bWnUFsLOU' +
      'wSpJ8vH/KMSYwQe/ENNWsk+rdZUNAwAnbXaqAK6R7GHiAQ==',
  ],
  [
    899,
    'KLUv/WCDAh0GAOLCChHAtwEAtEzbZFa6pfn/ezt+hhrMXBdhqMGHsY1tXzvFQTqxWYN/eH7ESgZRqNGXGsPeASCEIMbuDhGQ' +
      'jHMCRogaiEmTHDAkzs9F4FwbBXYYBWdM3g/VNOK9sC8pXkdXqp0v7Lt4xELo08xrXBoYqy7SH8f3PGXCcjc2hfjVS2lrRIII' +
      '0VCpcdRA584fACovRaNYDuwnYw5vXagJ8NVteOJeJlMjw7vJ7VvyEvdJO2cWQiY7VYBtdwPGy3Gkjh6XKg==',
  ],
  [5, 'KLUv/SAFKQAAc2hvcnQ='],
  [200, 'KLUv/STIjQEAhAJBIGxpbmUgb2YgdGV4dCwgYXMgY29tcHJlc3NvcnMgbGlrZSBpdC4KAQDoLEqVAZDpYaY='],
]
const ZSTD_SEEDS = ZSTD_FRAMES.map(([length, frame]) =>
  declaring(length, new Uint8Array(Buffer.from(frame, 'base64'))),
)

const NAME = `index/${SESSION}/000000`

/** Looks every entry of a segment up, as a restore does, and makes a segment of it again. */
function assertUsable(segment: IndexSegment, records: RecordSealer): void {
  const index = chunkIndexOf([segment, segment])
  const entries: BlobEntry[][] = segment.packs.map(() => [])
  for (let i = 0; i < segment.entryCount; i++) {
    const entry = segment.entry(i)
    const { pack, ...place } = entry
    const { fileBytes } = segment.packs[pack]!
    sound(
      entry.offset >= HEADER_BYTES && entry.offset + entry.storedBytes <= fileBytes,
      'an entry reaches beyond its pack',
    )
    sound(index.findNext(entry.id, index.find(entry.id)) >= 0, 'a second copy is not found')
    entries[pack]!.push(place)
  }
  const packs = segment.packs.map((pack, i) => ({ ...pack, entries: entries[i]! }))
  if (packs.some(({ entryCount, entries }) => entryCount !== entries.length)) return
  const again = decodeIndexSegment(
    NAME,
    new Uint8Array(Buffer.concat(encodeIndexSegment(NAME, packs, records))),
    records,
  )
  sound(again.entryCount === segment.entryCount, 'a segment loses entries')
  assertStable(segment.ids, () => again.ids)
}

const PACK = packOf(undefined)
const indexed = (entries: readonly BlobEntry[], file: Uint8Array, id: string) => ({
  id: hexOf(id, 32) as PackId,
  salt: SALT,
  fileBytes: file.length,
  entries,
})

const indexSegment: FuzzTarget = {
  name: 'index-segment',
  form: 'bytes',
  seeds: [
    payloadOf(
      RECORD_TYPE.index,
      NAME,
      encodeIndexSegment(
        NAME,
        [indexed(PACK.entries, PACK.file, 'a'), indexed(PACK.entries.slice(1), PACK.file, 'b')],
        plainRecords,
      ),
    ),
    payloadOf(RECORD_TYPE.index, NAME, encodeIndexSegment(NAME, [], plainRecords)),
  ],
  codes: ['ERR_CORRUPT_INDEX', 'ERR_UNSUPPORTED_VERSION'],
  run(input) {
    const { records, bytes } = sealed(RECORD_TYPE.index, NAME, input)
    assertUsable(decodeIndexSegment(NAME, bytes, records), records)
  },
}

/** Input: level, span (4), encoding. */
const node: FuzzTarget = {
  name: 'tree-node',
  form: 'bytes',
  seeds: [
    new Uint8Array(Buffer.concat([Buffer.of(0), declaring(82_020, LEAF)])),
    new Uint8Array(Buffer.concat([Buffer.of(1), declaring(302, INTERIOR)])),
  ],
  codes: ['ERR_CORRUPT_NODE', 'ERR_UNSUPPORTED_VERSION'],
  run(input) {
    const head = Buffer.alloc(5)
    head.set(input.subarray(0, 5))
    const bytes = input.subarray(5)
    const span = head.readUInt32LE(1)
    const level = head[0]!
    const read = decodeNode(bytes, level, span)
    sound(read.spans.reduce((sum, length) => sum + length, 0) === span, 'a node covers something else')
    sound(32 * read.kinds.filter((kind) => kind === 0).length === read.ids.length, 'a run lacks its id')
    assertStable<TreeNode>(read, (value) => decodeNode(encodeNode(value), level, span))
  },
}

export const PACK_TARGETS: readonly FuzzTarget[] = [
  directoryTarget('pack-directory', undefined),
  directoryTarget('pack-directory-encrypted', KEY),
  blobTarget('blob', undefined),
  blobTarget('blob-encrypted', KEY),
  codecTarget(CODEC.lz4, 'lz4', LZ4_SEEDS, 0xffff_fffe),
  codecTarget(CODEC.zstd, 'zstd', ZSTD_SEEDS, 2 ** 24 - 1),
  indexSegment,
  node,
]
