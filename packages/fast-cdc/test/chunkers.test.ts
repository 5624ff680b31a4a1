import {
  AlignedChunker,
  assertChunkerConfig,
  BLOCK_BYTES,
  type Chunker,
  type ChunkerConfig,
  type ChunkerKind,
  type ChunkSizes,
  createBlockScanner,
  createChunker,
  createKernels,
  DEFAULT_CHUNK_SIZES,
  FastCdcChunker,
  FixedChunker,
  type ImplementationChoice,
} from 'fast-cdc'
import * as fc from 'fast-check'
import { test } from 'tap'
import {
  countingKey,
  randomBytes,
  referenceAlignedCuts,
  referenceDigests,
  referenceGearCuts,
  referenceTags,
} from './reference.ts'
import {
  assertPartition,
  bytes,
  chunkLengths,
  cutsOf,
  hex,
  same,
  split,
  symmetricDifference,
  take,
} from './segments.ts'

const keys = { digestKey: countingKey(0), cutKey: countingKey(32), gearKey: countingKey(64) }
const otherKeys = { digestKey: countingKey(100), cutKey: countingKey(132), gearKey: countingKey(164) }
const implementations = ['wasm', 'js'] as const satisfies ImplementationChoice[]
const invalid = { name: 'InvalidArgumentError', code: 'ERR_INVALID_ARGUMENT' }
const KiB = 1024

const smallSizes = {
  aligned: { minBytes: 8 * KiB, averageBytes: 20 * KiB, maxBytes: 48 * KiB },
  fastcdc: { minBytes: 200, averageBytes: 700, maxBytes: 2000 },
  fixed: { minBytes: 5000, averageBytes: 5000, maxBytes: 5000 },
} as const satisfies Record<ChunkerKind, ChunkSizes>

const golden = {
  // Tags of blocks 0 and 1 of randomBytes(1, 3 * 4096).
  tags: ['ebfb8e2328fbe88c2283662321e0ea2d', '7ec78149d769b6840e7b6896ec18d315'],
  // Cuts of randomBytes(2, 150_001) with smallSizes (fastcdc: of its first 12_000 bytes).
  aligned: [8192, 16384, 32768, 61440, 77824, 90112, 126976, 143360, 150001],
  fastcdc: [
    536, 891, 1656, 2037, 2897, 3665, 4578, 5363, 6100, 6864, 7588, 8385, 8791, 9645, 10387, 11542, 12000,
  ],
  fixed: [5000, 10000, 12000],
  // Cuts of randomBytes(3, 3_000_001) with the default sizes.
  alignedDefault: [667648, 1191936, 1449984, 1564672, 1695744, 1802240, 1929216, 2220032, 2453504, 3000001],
  fastcdcDefault: [
    274147, 573093, 843039, 1129932, 1433940, 1665427, 1964708, 2269814, 2512106, 2784636, 3000001,
  ],
}

for (const implementation of implementations) {
  const make = (config: ChunkerConfig, withKeys = keys): Chunker =>
    createChunker(config, { keys: withKeys, implementation })
  const small = (kind: ChunkerKind, withKeys = keys): Chunker => make({ kind, ...smallSizes[kind] }, withKeys)

  test(`${implementation}: cuts are the frozen ones`, async (t) => {
    const data = randomBytes(2, 150_001)
    t.same(cutsOf(small('aligned'), [data]), golden.aligned)
    t.same(cutsOf(small('fastcdc'), [data.subarray(0, 12_000)]), golden.fastcdc)
    t.same(cutsOf(small('fixed'), [data.subarray(0, 12_000)]), golden.fixed)
    const large = randomBytes(3, 3_000_001)
    t.same(cutsOf(make({ kind: 'aligned', ...DEFAULT_CHUNK_SIZES }), [large]), golden.alignedDefault)
    t.same(cutsOf(make({ kind: 'fastcdc', ...DEFAULT_CHUNK_SIZES }), [large]), golden.fastcdcDefault)
  })

  for (const kind of ['aligned', 'fastcdc', 'fixed'] as const) {
    test(`${implementation}: ${kind} chunks any data as the reference does, however it is split`, async () => {
      const step = kind === 'aligned' ? BLOCK_BYTES : 1
      const longest = kind === 'fastcdc' ? 12_000 : 40 * BLOCK_BYTES
      const chunker = small(kind)
      fc.assert(
        fc.property(bytes(longest), fc.array(fc.nat(longest), { maxLength: 12 }), (data, splits) => {
          const expected = referenceCuts(kind, data)
          const pieces = split(data, splits, step)
          assertPartition(chunker, expected, data.length)
          return same(cutsOf(chunker, [data]), expected) && same(cutsOf(chunker, pieces), expected)
        }),
        { numRuns: kind === 'fixed' ? 100 : 25 },
      )
    })

    test(`${implementation}: ${kind} handles lengths around a block`, async (t) => {
      const chunker = small(kind)
      const lengths = [0, 1, 63, 64, 65, 4095, 4096, 4097, 2 * 4096 - 1, 2 * 4096, 2 * 4096 + 1]
      for (const length of lengths) {
        const data = randomBytes(length + 1, length)
        t.same(cutsOf(chunker, [data]), referenceCuts(kind, data), `${length}`)
        t.same(cutsOf(chunker, [new Uint8Array(0), data, new Uint8Array(0)]), referenceCuts(kind, data))
      }
      t.same(cutsOf(chunker, []), [])
      t.equal(chunker.minBytes, smallSizes[kind].minBytes)
      t.equal(chunker.maxBytes, smallSizes[kind].maxBytes)
    })

    test(`${implementation}: ${kind} forgets an unfinished segment on reset`, async (t) => {
      const chunker = small(kind)
      chunker.push(randomBytes(9, 3 * BLOCK_BYTES + 100))
      chunker.reset()
      t.equal(chunker.finish(), 0)
      const data = randomBytes(10, 10_000)
      t.same(cutsOf(chunker, [data]), referenceCuts(kind, data))
    })
  }

  for (const kind of ['aligned', 'fastcdc'] as const) {
    test(`${implementation}: ${kind} cuts by content`, async (t) => {
      const data = randomBytes(11, 400_000)
      const cuts = cutsOf(small(kind), [data])
      const { maxBytes } = smallSizes[kind]

      t.test('a change moves cuts near it only', async (t) => {
        for (const block of [0, 10, 33, 60]) {
          const changed = data.slice()
          const at = block * BLOCK_BYTES
          changed.fill(0x5a, at, at + BLOCK_BYTES)
          const moved = symmetricDifference(cuts, cutsOf(small(kind), [changed]))
          t.ok(
            moved.every((cut) => cut > at && cut < at + BLOCK_BYTES + 4 * maxBytes),
            `block ${block}`,
          )
        }
      })

      t.test('after a block put in, cuts move along with their data', async (t) => {
        const at = 20 * BLOCK_BYTES
        const longer = Buffer.concat([data.subarray(0, at), randomBytes(12, BLOCK_BYTES), data.subarray(at)])
        const back = cutsOf(small(kind), [longer]).map((cut) => (cut > at ? cut - BLOCK_BYTES : cut))
        const moved = symmetricDifference(cuts, back)
        t.ok(moved.every((cut) => cut > at - BLOCK_BYTES && cut < at + 4 * maxBytes))
      })

      t.test('another key makes other cuts', async (t) => {
        const common = cutsOf(small(kind, otherKeys), [data]).filter((cut) => cuts.includes(cut))
        t.ok(common.length < cuts.length / 2, `${common.length} of ${cuts.length} in common`)
        if (kind === 'aligned') {
          t.notSame(cutsOf(small(kind, { ...keys, digestKey: otherKeys.digestKey }), [data]), cuts)
          t.notSame(cutsOf(small(kind, { ...keys, cutKey: otherKeys.cutKey }), [data]), cuts)
        }
      })

      t.test('data without content is cut at the maximum or the minimum', async (t) => {
        const lengths = chunkLengths(cutsOf(small(kind), [new Uint8Array(300_000)])).slice(0, -1)
        t.equal(new Set(lengths).size, 1)
      })
    })
  }

  test(`${implementation}: aligned takes digests of a scanner, and keeps their tags`, async (t) => {
    const data = Buffer.concat([
      randomBytes(1, 3 * BLOCK_BYTES),
      new Uint8Array(40 * BLOCK_BYTES),
      randomBytes(5, 99),
    ])
    const blockCount = Math.ceil(data.length / BLOCK_BYTES)
    const scanner = createBlockScanner({ key: keys.digestKey, slabBytes: 64 * BLOCK_BYTES, implementation })
    scanner.slab.set(data)
    scanner.scan(0, blockCount)
    const chunker = new AlignedChunker({ ...keys, sizes: smallSizes.aligned, implementation })
    const padded = Buffer.alloc(blockCount * BLOCK_BYTES)
    padded.set(data)
    const digests = referenceDigests(keys.digestKey, padded)
    const tags = referenceTags(keys.cutKey, digests)

    const cuts: number[] = []
    for (let first = 0; first < blockCount; first += 7) {
      const count = Math.min(7, blockCount - first)
      const isLast = first + count === blockCount
      take(cuts, chunker, chunker.pushDigests(scanner.digests, first, count, isLast ? 99 : BLOCK_BYTES))
      t.equal(hex(chunker.tags), hex(tags.subarray(first * 16, (first + count) * 16)))
      if (first === 0) {
        t.same([hex(chunker.tags.subarray(0, 16)), hex(chunker.tags.subarray(16, 32))], golden.tags)
        t.notOk(Buffer.isBuffer(chunker.tags))
      }
    }
    take(cuts, chunker, chunker.finish())
    t.same(cuts, referenceAlignedCuts(tags, data.length, smallSizes.aligned))
    chunker.push(randomBytes(6, 64 * BLOCK_BYTES))
    chunker.reset()
    t.same(cutsOf(chunker, [data]), cuts)
    t.equal(hex(chunker.tags), hex(tags), 'a partial block counts as filled up with zeros')

    t.equal(chunker.pushDigests(scanner.digests, 0, 0), 0)
    t.equal(chunker.tags.length, 0)
  })

  test(`${implementation}: aligned takes nothing after a partial block`, async (t) => {
    const chunker = small('aligned') as AlignedChunker
    chunker.push(new Uint8Array(5000))
    t.throws(() => chunker.push(new Uint8Array(1)), invalid)
    t.throws(() => chunker.pushDigests(new Uint8Array(16), 0, 1), invalid)
    t.equal(chunker.push(new Uint8Array(0)), 0)
    t.equal(chunker.pushDigests(new Uint8Array(16), 0, 0), 0)
    t.throws(() => chunker.push(new Uint8Array(1)), invalid, 'nor after an empty push')
    t.equal(chunker.finish(), 1)
    t.equal(chunker.cuts[0], 5000)
    t.equal(chunker.pushDigests(new Uint8Array(16), 0, 0, 100), 0)
    t.equal(chunker.push(new Uint8Array(4096)), 0)
  })

  test(`${implementation}: fastcdc keeps its place over shared kernels, in the slab and elsewhere`, async (t) => {
    const kernels = createKernels({ slabBytes: 1024 * KiB, implementation })
    const data = randomBytes(13, 1_000_000)
    kernels.slab.set(data)
    const sizes = smallSizes.fastcdc
    const chunkers = [keys, otherKeys].map((keys) => new FastCdcChunker({ ...keys, sizes, kernels }))
    const expected = [keys, otherKeys].map((keys) => cutsOf(small('fastcdc', keys), [data]))
    const cuts: number[][] = [[], []]
    for (let start = 0, length = 1; start < data.length; start += length, length = 3 * length + 1) {
      for (const i of [0, 1]) {
        const source = length % 2 === i ? kernels.slab.subarray(0, data.length) : data
        take(cuts[i]!, chunkers[i]!, chunkers[i]!.push(source.subarray(start, start + length)))
      }
    }
    for (const i of [0, 1]) {
      take(cuts[i]!, chunkers[i]!, chunkers[i]!.finish())
      t.same(cuts[i], expected[i])
    }
    t.equal(Buffer.compare(kernels.slab.subarray(0, data.length), data), 0, 'the slab is left as it was')
  })

  test(`${implementation}: fastcdc cuts every 64 bytes where it must`, async (t) => {
    const sizes = { minBytes: 64, averageBytes: 64, maxBytes: 64 }
    const data = randomBytes(14, 800_000)
    for (const first of [0, 1, 63]) {
      const chunker = make({ kind: 'fastcdc', ...sizes })
      const lengths = chunkLengths(cutsOf(chunker, [data.subarray(0, first), data.subarray(first)]))
      t.equal(lengths.length, data.length / 64)
      t.ok(lengths.every((length) => length === 64))
    }
  })
}

test('fastcdc of WebAssembly and JavaScript agree for any sizes', async () => {
  const sizes = fc
    .tuple(fc.integer({ min: 64, max: 3000 }), fc.nat(5000), fc.nat(9000))
    .map(([min, more, most]) => ({ minBytes: min, averageBytes: min + more, maxBytes: min + more + most }))
  fc.assert(
    fc.property(sizes, bytes(600_000), fc.array(fc.nat(600_000), { maxLength: 5 }), (sizes, data, splits) => {
      const [wasm, js] = implementations.map((implementation) =>
        cutsOf(new FastCdcChunker({ ...keys, sizes, implementation }), split(data, splits, 1)),
      )
      return same(wasm!, js!)
    }),
    { numRuns: 25 },
  )
})

test('fastcdc follows the reference where the sizes meet', async (t) => {
  const data = randomBytes(15, 8000)
  for (const [minBytes, averageBytes, maxBytes] of [
    [64, 64, 64],
    [64, 64, 300],
    [64, 65, 66],
    [100, 100, 101],
    [128, 500, 500],
    [500, 500, 500],
    [65, 180, 4000],
  ] as const) {
    const sizes = { minBytes, averageBytes, maxBytes }
    const expected = referenceGearCuts(keys.gearKey, data, sizes)
    for (const implementation of implementations) {
      t.same(cutsOf(new FastCdcChunker({ ...keys, sizes, implementation }), [data]), expected)
    }
  }
})

test('aligned chunks have the length that is asked for, on average', async (t) => {
  const blockCount = 400_000
  const chunker = new AlignedChunker(keys)
  const cuts: number[] = []
  take(cuts, chunker, chunker.pushDigests(randomBytes(16, blockCount * 16), 0, blockCount))
  const { minBytes, averageBytes, maxBytes } = DEFAULT_CHUNK_SIZES
  const hitChance = 1 / (1 + (averageBytes - minBytes) / BLOCK_BYTES)
  const tests = (maxBytes - minBytes) / BLOCK_BYTES + 1
  const expected = minBytes - BLOCK_BYTES + (BLOCK_BYTES * (1 - (1 - hitChance) ** tests)) / hitChance
  const mean = cuts.at(-1)! / cuts.length
  t.ok(Math.abs(mean / expected - 1) < 0.03, `${mean} for ${expected}`)
  t.ok(Math.abs(expected / averageBytes - 1) < 0.01)
})

test('positions beyond 2^32 are exact', async (t) => {
  const sizes = { minBytes: 2 ** 30, averageBytes: 2 ** 30, maxBytes: 2 ** 30 }
  const zeros = new Uint8Array(2 ** 30 - 1)
  const digests = new Uint8Array(2 ** 18 * 16)
  const aligned = new AlignedChunker({ ...keys, sizes })
  const fastCdc = new FastCdcChunker({ ...keys, sizes, implementation: 'js' })
  const fixed = new FixedChunker({ chunkBytes: 2 ** 30 })
  for (let i = 1; i <= 5; i++) {
    t.equal(aligned.pushDigests(digests, 0, 2 ** 18), 1)
    t.equal(aligned.cuts[0], i * 2 ** 30)
    for (const chunker of [fastCdc, fixed]) {
      t.equal(chunker.push(zeros), 0)
      t.equal(chunker.push(zeros.subarray(0, 1)), 1)
      t.equal(chunker.cuts[0], i * 2 ** 30)
    }
  }
  for (const chunker of [fastCdc, fixed]) {
    chunker.push(zeros.subarray(0, 7))
    t.equal(chunker.finish(), 1)
    t.equal(chunker.cuts[0], 5 * 2 ** 30 + 7)
  }
})

test('configurations are checked', async (t) => {
  t.same(DEFAULT_CHUNK_SIZES, { minBytes: 64 * KiB, averageBytes: 256 * KiB, maxBytes: 1024 * KiB })
  t.ok(Object.isFrozen(DEFAULT_CHUNK_SIZES))
  const config = (kind: string, minBytes: unknown, averageBytes: unknown, maxBytes: unknown) =>
    ({ kind, minBytes, averageBytes, maxBytes }) as ChunkerConfig
  for (const good of [
    config('aligned', 4096, 4096, 4096),
    config('aligned', 4096, 8192, 2 ** 30),
    config('fastcdc', 64, 65, 66),
    config('fixed', 1, 1, 1),
  ]) {
    t.doesNotThrow(() => assertChunkerConfig(good))
    t.doesNotThrow(() => createChunker(good, { keys }))
  }
  for (const bad of [
    config('aligned', 4095, 8192, 8192),
    config('aligned', 4096, 5000, 8192),
    config('aligned', 4096, 8192, 9000),
    config('aligned', 8192, 4096, 8192),
    config('aligned', 4096, 8192, 4096),
    config('aligned', 0, 4096, 4096),
    config('aligned', 4096, 4096, 2 ** 31),
    config('aligned', '4096', 4096, 4096),
    config('fastcdc', 63, 100, 200),
    config('fastcdc', 64.5, 100, 200),
    config('fastcdc', 64, Number.NaN, 200),
    config('fastcdc', 64, 100, undefined),
    config('fastcdc', 64, 300, 200),
    config('fixed', 10, 20, 20),
    config('fixed', 10, 10, 20),
    config('fixed', 0, 0, 0),
    config('rabin', 64, 100, 200),
  ]) {
    t.throws(() => assertChunkerConfig(bad), invalid, JSON.stringify(bad))
    t.throws(() => createChunker(bad, { keys }), invalid)
  }
})

test('keys and pieces are checked', async (t) => {
  const short = new Uint8Array(16)
  t.throws(() => new AlignedChunker({ ...keys, digestKey: short }), invalid)
  t.throws(() => new AlignedChunker({ ...keys, cutKey: short }), invalid)
  t.throws(() => new FastCdcChunker({ gearKey: short }), invalid)
  t.throws(() => new FixedChunker({ chunkBytes: 0 }), invalid)
  const aligned = new AlignedChunker(keys)
  const digests = new Uint8Array(4 * 16)
  for (const [first, count, tail] of [
    [0, 5, 4096],
    [4, 1, 4096],
    [-1, 1, 4096],
    [0, -1, 4096],
    [0, 1.5, 4096],
    [0, 1, 0],
    [0, 1, 4097],
  ] as const) {
    t.throws(() => aligned.pushDigests(digests, first, count, tail), invalid, `${first} ${count} ${tail}`)
  }
  for (const chunker of [aligned, new FastCdcChunker(keys), new FixedChunker({ chunkBytes: 10 })]) {
    t.throws(() => chunker.push([1, 2, 3] as unknown as Uint8Array), invalid)
  }
})

function referenceCuts(kind: ChunkerKind, data: Uint8Array): number[] {
  if (kind === 'fastcdc') return referenceGearCuts(keys.gearKey, data, smallSizes.fastcdc)
  if (kind === 'fixed') {
    const count = Math.ceil(data.length / smallSizes.fixed.minBytes)
    return Array.from({ length: count }, (_, i) => Math.min(data.length, (i + 1) * smallSizes.fixed.minBytes))
  }
  const padded = new Uint8Array(Math.ceil(data.length / BLOCK_BYTES) * BLOCK_BYTES)
  padded.set(data)
  const tags = referenceTags(keys.cutKey, referenceDigests(keys.digestKey, padded))
  return referenceAlignedCuts(tags, data.length, smallSizes.aligned)
}
