import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  BLOCK_BYTES,
  createBlockScanner,
  createKernels,
  DIGEST_BYTES,
  type ImplementationChoice,
} from 'fast-cdc'
import * as fc from 'fast-check'
import { test } from 'tap'
import { countingKey, randomBytes, referenceDigests } from './reference.ts'
import { hex } from './segments.ts'

const implementations = ['wasm', 'js'] as const satisfies ImplementationChoice[]
const key = countingKey(0)

const golden = {
  zeroDigest: '8532d9bc9a2fe683b01114fd61d66f51',
  // Of blocks 0, 1 and 2 of randomBytes(1, 3 * 4096), and of a block of 0xff.
  digests: [
    '4f2cd85e889ee53402b1f8122e20eaf1',
    '8d2845a8b9f5cf41af51425d415dbb12',
    'd64eeb49c549d3ed89d7c1b7cec01993',
  ],
  ones: '6f7a10af992ee683a49ae6705ad56f51',
}

for (const implementation of implementations) {
  test(`${implementation}: digests`, async (t) => {
    const slabBytes = 16 * BLOCK_BYTES
    const scanner = createBlockScanner({ key, slabBytes, implementation })
    t.equal(scanner.implementation, implementation === 'wasm' ? 'wasm-simd' : 'js')
    t.equal(scanner.slab.length, slabBytes)
    t.equal(scanner.digests.length, 16 * DIGEST_BYTES)
    t.equal(scanner.zeroFlags.length, 16)

    t.test('are the frozen ones', async (t) => {
      scanner.slab.set(randomBytes(1, 3 * BLOCK_BYTES))
      scanner.slab.fill(0xff, 3 * BLOCK_BYTES, 4 * BLOCK_BYTES)
      scanner.slab.fill(0, 4 * BLOCK_BYTES, 5 * BLOCK_BYTES)
      scanner.scan(0, 5)
      const digests = [0, 1, 2, 3, 4].map((i) => hex(scanner.digests.subarray(16 * i, 16 * (i + 1))))
      t.same(digests, [...golden.digests, golden.ones, golden.zeroDigest])
      t.same([...scanner.zeroFlags.subarray(0, 5)], [0, 0, 0, 0, 1])
      t.equal(hex(scanner.zeroDigest), golden.zeroDigest)
      t.equal(hex(referenceDigests(key, new Uint8Array(BLOCK_BYTES))), golden.zeroDigest)
    })

    t.test('equal the reference, for any blocks at any place in the slab', async () => {
      fc.assert(
        fc.property(
          fc.uint8Array({ minLength: 32, maxLength: 32 }),
          fc.array(block(), { maxLength: 4 }),
          fc.nat(12),
          (anyKey, blocks, firstBlock) => {
            const scanner = createBlockScanner({ key: anyKey, slabBytes, implementation })
            scanner.slab.fill(0xee)
            scanner.digests.fill(0xdd)
            scanner.zeroFlags.fill(0xcc)
            const data = Buffer.concat(blocks)
            scanner.slab.set(data, firstBlock * BLOCK_BYTES)
            const before = hex(scanner.slab)
            scanner.scan(firstBlock * BLOCK_BYTES, blocks.length)
            const expected = Buffer.alloc(scanner.digests.length, 0xdd)
            expected.set(referenceDigests(anyKey, data))
            const flags = blocks.map((bytes) => (bytes.every((byte) => byte === 0) ? 1 : 0))
            return (
              hex(scanner.digests) === hex(expected) &&
              flags.every((flag, i) => flag === scanner.zeroFlags[i]) &&
              scanner.zeroFlags.subarray(blocks.length).every((flag) => flag === 0xcc) &&
              hex(scanner.slab) === before
            )
          },
        ),
        { numRuns: 40 },
      )
    })
  })

  test(`${implementation}: a single bit anywhere makes a block nonzero, and changes its digest`, async (t) => {
    const scanner = createBlockScanner({ key, slabBytes: BLOCK_BYTES, implementation })
    const { slab } = scanner
    const zeroDigest = hex(scanner.zeroDigest)
    let wrong = 0
    for (let bit = 0; bit < 8 * BLOCK_BYTES; bit++) {
      slab[bit >> 3] = 1 << (bit & 7)
      scanner.scan(0, 1)
      if (scanner.zeroFlags[0] !== 0 || hex(scanner.digests) === zeroDigest) wrong++
      slab[bit >> 3] = 0
    }
    t.equal(wrong, 0)
    scanner.scan(0, 1)
    t.equal(scanner.zeroFlags[0], 1)
    t.equal(hex(scanner.digests), zeroDigest)
  })

  test(`${implementation}: scanners with different keys share kernels`, async (t) => {
    const kernels = createKernels({ slabBytes: 2 * BLOCK_BYTES, implementation })
    const keys = [countingKey(1), countingKey(2)]
    const scanners = keys.map((key) => createBlockScanner({ key, kernels }))
    const data = randomBytes(7, BLOCK_BYTES)
    kernels.slab.set(data)
    for (const i of [0, 1, 0, 1]) {
      scanners[i]!.scan(0, 2)
      t.equal(scanners[i]!.slab, kernels.slab)
      t.equal(hex(scanners[i]!.digests.subarray(0, 16)), hex(referenceDigests(keys[i]!, data)))
      t.equal(hex(scanners[i]!.digests.subarray(16)), hex(scanners[i]!.zeroDigest))
    }
    t.not(hex(scanners[0]!.zeroDigest), hex(scanners[1]!.zeroDigest))
  })

  test(`${implementation}: refuses bad arguments`, async (t) => {
    const invalid = { name: 'InvalidArgumentError', code: 'ERR_INVALID_ARGUMENT' }
    const scanner = createBlockScanner({ key, slabBytes: 4 * BLOCK_BYTES, implementation })
    const ranges: [number, number][] = [
      [1, 1],
      [-4096, 1],
      [0, 5],
      [0, -1],
      [0, 0.5],
      [4096, 4],
      [5 * 4096, 0],
      [Number.NaN, 1],
      [0, Number.NaN],
    ]
    for (const [offset, count] of ranges)
      t.throws(() => scanner.scan(offset, count), invalid, `${offset} ${count}`)
    for (const slabBytes of [0, -4096, 4095, 4097, 2 ** 31, Number.NaN, '4096' as unknown as number]) {
      t.throws(
        () => createBlockScanner({ key, slabBytes, implementation }),
        invalid,
        `slabBytes ${slabBytes}`,
      )
    }
    for (const key of [new Uint8Array(31), new Uint8Array(33), 'x'.repeat(32) as unknown as Uint8Array]) {
      t.throws(() => createBlockScanner({ key, slabBytes: 4096, implementation }), invalid)
    }
    const kernels = createKernels({ slabBytes: 0, implementation })
    t.throws(() => createBlockScanner({ key, kernels }), invalid)
  })
}

test('refuses an unknown implementation', async (t) => {
  const implementation = 'gpu' as ImplementationChoice
  t.throws(() => createKernels({ slabBytes: 4096, implementation }), { code: 'ERR_INVALID_ARGUMENT' })
})

test('auto takes WebAssembly, and JavaScript where there is none', async (t) => {
  t.equal(createKernels({ slabBytes: 0 }).implementation, 'wasm-simd')
  const script = `
    delete globalThis.WebAssembly
    const { createKernels } = await import('fast-cdc')
    let code
    try { createKernels({ slabBytes: 0, implementation: 'wasm' }) } catch (error) { code = error.code }
    console.log(createKernels({ slabBytes: 0 }).implementation, code)`
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd })
  t.equal(stdout.trim(), 'js ERR_INVALID_ARGUMENT')
})

test('the committed kernels are what their source builds', async (t) => {
  const script = fileURLToPath(new URL('../scripts/build-kernels.mjs', import.meta.url))
  await t.resolves(run(process.execPath, [script, '--check']))
})

const run = promisify(execFile)

/** Blocks of every kind: random, zero, constant, nearly zero, and with extreme words, where carries happen. */
function block(): fc.Arbitrary<Uint8Array> {
  return fc.oneof(
    fc.integer().map((seed) => randomBytes(seed, BLOCK_BYTES)),
    fc.constant(new Uint8Array(BLOCK_BYTES)),
    fc.nat(255).map((byte) => new Uint8Array(BLOCK_BYTES).fill(byte)),
    fc
      .tuple(fc.nat(BLOCK_BYTES - 1), fc.nat(255))
      .map(([at, byte]) => new Uint8Array(BLOCK_BYTES).fill(byte, at, at + 1)),
    fc.integer().map((seed) => randomBytes(seed, BLOCK_BYTES).map((byte) => (byte & 1 ? 255 : 0))),
  )
}
