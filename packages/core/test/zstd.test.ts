// The zstd decoder for runtimes that have none, whatever this runtime has: frames of other programs, frames that nobody
// would make, and, where the runtime has zstd, the two held against each other.
import * as zlib from 'node:zlib'
import { CODEC, decompress } from '@platter/core'
import fc from 'fast-check'
import { test } from 'tap'
import { decodeFrame } from '../dist/codecs/zstd/decode-frame.js'
import { readFrame } from '../dist/codecs/zstd/frame.js'
import {
  blockOf,
  boundlessBlock,
  endlessWeightsBlock,
  frameOf,
  heavyTablesBlock,
  shortBlock,
} from './forged-frames.ts'
import { GOLDEN_SAMPLES } from './golden-zstd.ts'
import { numbersOf, sampleBytes } from './sample-bytes.ts'

const LONGEST = 2 ** 24 - 1

/** What the portable decoder makes of a frame; undefined when it refuses it as it should. */
function decoded(frame: Uint8Array, rawLength: number): Uint8Array | undefined {
  try {
    return decodeFrame(frame, readFrame(frame, rawLength), rawLength)
  } catch (error) {
    if (error instanceof RangeError && /zstd frame/.test(error.message)) return undefined
    throw error
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0
}

const GOLDEN = GOLDEN_SAMPLES.map(({ what, seed, length, frame }) => ({
  what,
  plain: sampleBytes(seed, length),
  frame: new Uint8Array(Buffer.from(frame, 'base64')),
}))

test('frames of the command line program decode', async (t) => {
  for (const { what, plain, frame } of GOLDEN) {
    t.ok(isSame(decoded(frame, plain.length), plain), what)
    t.ok(isSame(decompress(CODEC.zstd, frame, plain.length), plain), `${what}, as this runtime does it`)
    // Somewhere in other memory.
    const elsewhere = new Uint8Array([1, 2, 3, ...frame, 255, 255, 255, 255]).subarray(3, -4)
    t.ok(isSame(decoded(elsewhere, plain.length), plain), `${what}, as a view`)
  }
})

test('blocks as they are, of one byte, and none', async (t) => {
  const frame = frameOf(1008, [
    blockOf(0, Buffer.of(1, 2, 3), false),
    blockOf(0, Buffer.of(), false),
    blockOf(1, Buffer.of(9), false, 1000),
    blockOf(2, Buffer.of(0x21, 7, 0), false),
    blockOf(0, Buffer.of(8), true),
  ])
  const plain = new Uint8Array(1008).fill(9)
  plain.set([1, 2, 3])
  plain.set([7, 7, 7, 7, 8], 1003)
  t.ok(isSame(decoded(frame, 1008), plain))
  t.ok(isSame(decompress(CODEC.zstd, frame, 1008), plain))
  const heavy = frameOf(1008, [
    heavyTablesBlock(false),
    blockOf(1, Buffer.of(9), false, 1000),
    heavyTablesBlock(true),
  ])
  const expected = new Uint8Array(1008).fill(9, 4, 1004)
  t.ok(isSame(decoded(heavy, 1008), expected))
  t.ok(isSame(decompress(CODEC.zstd, heavy, 1008), expected))
  t.equal(decoded(frameOf(8, [heavyTablesBlock(false), heavyTablesBlock(true)]), 8), undefined)
})

test('what is not one frame of the declared size is refused, in every runtime', async (t) => {
  const [{ plain, frame }] = GOLDEN as [(typeof GOLDEN)[number]]
  const skippable = new Uint8Array(Buffer.from('502a4d1804000000aabbccdd', 'hex'))
  const empty = new Uint8Array(Buffer.from('28b52ffd2000010000', 'hex'))
  const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
  // The same with a window, and without the field that says how long it is.
  const unsized = join(frame.subarray(0, 4), Buffer.of(0, 0x58), frame.subarray(7))
  const refused: readonly (readonly [string, Uint8Array])[] = [
    ['a skippable frame in front', join(skippable, frame)],
    ['a skippable frame behind', join(frame, skippable)],
    ['an empty frame in front', join(empty, frame)],
    ['an empty frame behind', join(frame, empty)],
    ['twice', join(frame, frame)],
    ['a byte more', join(frame, Uint8Array.of(0))],
    ['no content size', unsized],
    ['a reserved bit', join(frame.subarray(0, 4), Uint8Array.of(frame[4]! | 8), frame.subarray(5))],
    ['a dictionary', join(frame.subarray(0, 4), Uint8Array.of(frame[4]! | 1), frame.subarray(5))],
    ['nothing', new Uint8Array(0)],
  ]
  for (const [what, stored] of refused) {
    t.equal(decoded(stored, plain.length), undefined, what)
    t.throws(() => decompress(CODEC.zstd, stored, plain.length), { code: 'ERR_CORRUPT_BLOB' }, what)
  }
  for (let length = 0; length < frame.length; length++)
    if (decoded(frame.subarray(0, length), plain.length)) t.fail(`${length} bytes of a frame decode`)
  for (const length of [0, 1, plain.length - 1, plain.length + 1, LONGEST])
    t.equal(decoded(frame, length), undefined)
})

// Whoever expands before looking is not done in hours.
test('forged frames are refused before the work is done', async (t) => {
  const start = blockOf(0, Buffer.alloc(8, 1), false)
  const many = (count: number, block: (isLast: boolean) => Buffer): Buffer[] =>
    Array.from({ length: count }, (_, i) => block(i === count - 1))
  const forged: readonly (readonly [string, number, Uint8Array])[] = [
    ['sequences without end', 100_000, frameOf(100_000, [start, boundlessBlock(true)])],
    ['many of them', LONGEST, frameOf(LONGEST, [start, ...many(10_000, boundlessBlock)])],
    ['weights without end', 1000, frameOf(1000, many(3, endlessWeightsBlock))],
    [
      'blocks without content',
      1000,
      frameOf(
        1000,
        many(10_000, (last) => blockOf(0, Buffer.of(), last)),
      ),
    ],
    ['heavy tables for little', 40_000, frameOf(40_000, many(10_000, heavyTablesBlock))],
  ]
  for (const [what, length, frame] of forged) {
    t.equal(decoded(frame, length), undefined, what)
    t.throws(() => decompress(CODEC.zstd, frame, length), { code: 'ERR_CORRUPT_BLOB' }, what)
  }
})

test('blocks whose streams and lengths do not fit each other', async (t) => {
  const start = blockOf(0, Buffer.alloc(8, 1), false)
  const tail = blockOf(0, Buffer.alloc(8, 2), true)
  const sound = frameOf(20, [start, shortBlock(false, [5], 0b1), tail])
  t.ok(isSame(decoded(sound, 20), Buffer.from('01010101010101010505050502020202020202'.concat('02'), 'hex')))
  const lying = [
    shortBlock(false, [], 0b1),
    shortBlock(false, [5], 0b10),
    shortBlock(false, [5], 0b0),
    heavyTablesBlock(false, 0b111),
    heavyTablesBlock(false, 0b1),
  ]
  for (const block of lying) {
    for (const length of [19, 20, 21]) {
      const frame = frameOf(length + 1000, [blockOf(1, Buffer.of(1), false, 1000), start, block, tail])
      t.equal(decoded(frame, length + 1000), undefined, block.toString('hex'))
    }
  }
})

test('damaged frames give as many bytes as they declare, or are refused', async (t) => {
  const damaged = fc.tuple(
    fc.constantFrom(...GOLDEN),
    fc.array(fc.tuple(fc.nat(), fc.nat(7)), { minLength: 1, maxLength: 3 }),
  )
  let taken = 0
  fc.assert(
    fc.property(damaged, ([{ plain, frame }, bits]) => {
      const altered = frame.slice()
      for (const [at, bit] of bits) altered[at % altered.length]! ^= 1 << bit
      const raw = decoded(altered, plain.length)
      if (raw !== undefined && raw.length !== plain.length) throw new Error('it has another length')
      taken += raw === undefined ? 0 : 1
      assertAsNative(altered, plain.length, raw)
    }),
    { numRuns: 3000 },
  )
  t.ok(taken > 100, 'some of them decode to something else')
})

test('what this runtime compresses decodes', { skip: zlib.zstdCompressSync === undefined }, async (t) => {
  const { ZSTD_c_compressionLevel, ZSTD_c_checksumFlag, ZSTD_c_windowLog, ZSTD_c_minMatch } = zlib.constants
  for (let seed = 1; seed <= 250; seed++) {
    const below = numbersOf(seed)
    const plain = sampleBytes(seed, 1 + below(seed % 10 === 0 ? 300_000 : 5000))
    const frame = zlib.zstdCompressSync(plain, {
      pledgedSrcSize: plain.length,
      params: {
        [ZSTD_c_compressionLevel]: below(27) - 5,
        [ZSTD_c_checksumFlag]: below(2),
        ...(below(3) === 0 ? { [ZSTD_c_windowLog]: 10 + below(8) } : {}),
        ...(below(3) === 0 ? { [ZSTD_c_minMatch]: 3 + below(5) } : {}),
      },
    } as zlib.ZstdOptions)
    if (!isSame(decoded(frame, plain.length), plain)) t.fail(`seed ${seed}`)
  }
  t.pass()
})

/** Where both decoders take a frame, they make the same of it. Either may be stricter. */
function assertAsNative(frame: Uint8Array, rawLength: number, raw: Uint8Array | undefined): void {
  if (zlib.zstdDecompressSync === undefined || raw === undefined) return
  let native: Uint8Array
  try {
    native = zlib.zstdDecompressSync(frame, { maxOutputLength: rawLength })
  } catch {
    return
  }
  if (!isSame(raw, native)) throw new Error('it decodes to something else than the runtime makes of it')
}
