import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Overlay } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'
import { MemoryImage } from './memory-image.ts'

const BASE = { base: 'snapshot 1' }
const IMAGE_BYTES = 300_001

function baseImage(): MemoryImage {
  const bytes = Buffer.from(pattern(IMAGE_BYTES))
  bytes.fill(0, 70_000, 250_000)
  return new MemoryImage(bytes)
}

async function contentOf(overlay: Overlay): Promise<Buffer> {
  const bytes = Buffer.alloc(overlay.sizeBytes)
  await overlay.readInto(0, bytes)
  return bytes
}

const place = fc
  .nat(IMAGE_BYTES)
  .chain((offset) => fc.tuple(fc.constant(offset), fc.nat(IMAGE_BYTES - offset)))
const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('write' as const), place, seed: fc.nat(255) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('zero' as const), place }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
)

test('an overlay reads as an image that was written to, and its base stays', async (t) => {
  const folder = t.testdir()
  let count = 0
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
      const base = baseImage()
      const before = Buffer.from(base.bytes)
      const expected = Buffer.from(base.bytes)
      const path = join(folder, `overlay-${count++}`)
      let overlay = await Overlay.open(path, base, BASE)
      const pending: Promise<void>[] = []
      for (const operation of operations) {
        if (operation.kind === 'write') {
          const [offset, length] = operation.place
          const data = pattern(length, operation.seed)
          expected.set(data, offset)
          pending.push(overlay.write(offset, data))
        } else if (operation.kind === 'zero') {
          const [offset, length] = operation.place
          expected.fill(0, offset, offset + length)
          pending.push(overlay.zero(offset, length))
        } else if (operation.kind === 'flush') await overlay.flush()
        else {
          await overlay.close()
          overlay = await Overlay.open(path, base, BASE)
        }
      }
      await Promise.all(pending)
      const content = await contentOf(overlay)
      const extents: { offset: number; length: number; kind: string }[] = []
      for await (const extent of overlay.extents()) extents.push(extent)
      const changed = [...overlay.changed()]
      await overlay.close()
      return (
        sameBytes(content, expected) &&
        sameBytes(base.bytes, before) &&
        extentsFit(extents, expected) &&
        onlyChanged(changed, before, expected)
      )
    }),
    { numRuns: 150 },
  )
  t.pass()
})

/** Whether extents cover an image in order, and holes are zeros. */
function extentsFit(
  extents: readonly { offset: number; length: number; kind: string }[],
  image: Buffer,
): boolean {
  let at = 0
  for (const { offset, length, kind } of extents) {
    if (offset !== at) return false
    if (kind !== 'data' && image.subarray(at, at + length).some((byte) => byte !== 0)) return false
    at += length
  }
  return at === image.length
}

/** Whether two images are the same outside of some ranges. */
function onlyChanged(ranges: readonly { offset: number; length: number }[], a: Buffer, b: Buffer): boolean {
  let at = 0
  for (const { offset, length } of [...ranges, { offset: a.length, length: 0 }]) {
    if (offset < at || !sameBytes(a.subarray(at, offset), b.subarray(at, offset))) return false
    at = offset + length
  }
  return true
}

test('what was flushed outlives a process that is killed', async (t) => {
  const path = join(t.testdir(), 'overlay')
  const child = fork(fileURLToPath(new URL('./overlay-child.js', import.meta.url)), [path])
  await once(child, 'message')
  await rejection(Overlay.open(path, baseImage(), BASE), 'ERR_OVERLAY_IN_USE')
  child.kill('SIGKILL')
  await once(child, 'exit')
  const base = baseImage()
  await using overlay = await Overlay.open(path, base, BASE)
  const expected = Buffer.from(base.bytes)
  expected.fill(1, 10_000, 20_000)
  expected.fill(0, 30_000, 40_000)
  t.ok(sameBytes((await contentOf(overlay)).subarray(0, 50_000), expected.subarray(0, 50_000)))
})

test('an overlay over a huge image takes as much space as was written', async (t) => {
  const path = join(t.testdir(), 'overlay')
  const huge = {
    sizeBytes: 2 ** 44,
    readInto: async (_: number, into: Uint8Array) => into.fill(7).length,
    async *extents() {},
  }
  await using overlay = await Overlay.open(path, huge, BASE)
  await overlay.write(2 ** 43 + 1, Buffer.from('platter'))
  await overlay.zero(2 ** 42, 2 ** 30)
  await overlay.flush()
  t.ok(statSync(path).blocks * 512 < 2 ** 20)
  const into = Buffer.alloc(9)
  await overlay.readInto(2 ** 43, into)
  t.equal(into.toString(), '\x07platter\x07')
  await overlay.readInto(2 ** 42 + 2 ** 30 - 4, into)
  t.same([...into], [0, 0, 0, 0, 7, 7, 7, 7, 7])
  t.same(
    [...overlay.changed()],
    [
      { offset: 2 ** 42, length: 2 ** 30 },
      { offset: 2 ** 43, length: 4096 },
    ],
  )
})

test('a file that is no overlay, or another one', async (t) => {
  const folder = t.testdir({ text: 'x'.repeat(9000), short: 'PLTROVL1' })
  const base = baseImage()
  for (const name of ['text', 'short']) {
    const before = readFileSync(join(folder, name))
    await rejection(Overlay.open(join(folder, name), base, BASE), 'ERR_OVERLAY_INVALID')
    t.same(readFileSync(join(folder, name)), before)
  }
  const path = join(folder, 'overlay')
  await using overlay = await Overlay.open(path, base, BASE)
  await overlay.write(100, Buffer.alloc(20_000, 1))
  await overlay.close()
  await overlay.close()
  t.equal(await Overlay.baseOf(path), 'snapshot 1')
  await rejection(overlay.write(0, Buffer.alloc(1)), 'ERR_CLOSED')
  await rejection(overlay.readInto(0, Buffer.alloc(1)), 'ERR_CLOSED')
  await rejection(Overlay.open(path, base, { base: 'snapshot 2' }), 'ERR_OVERLAY_INVALID')
  await rejection(Overlay.open(path, new MemoryImage(Buffer.alloc(10)), BASE), 'ERR_OVERLAY_INVALID')
  await rejection(Overlay.open(join(folder, 'none', 'x'), base, BASE), 'ERR_TARGET_NOT_FOUND')
  await rejection(Overlay.open(folder, base, BASE), 'ERR_TARGET_UNSUPPORTED')
  await rejection(Overlay.baseOf(join(folder, 'none')), 'ERR_TARGET_NOT_FOUND')
  t.notOk(existsSync(join(folder, 'none')))

  for (let bit = 0; bit < 4096 * 8; bit += 997) {
    const damaged = join(folder, 'damaged')
    copyFileSync(path, damaged)
    await flip(damaged, bit)
    await rejection(Overlay.open(damaged, base, BASE), 'ERR_OVERLAY_INVALID')
  }
  const impossible = join(folder, 'impossible')
  copyFileSync(path, impossible)
  await flip(impossible, 4096 * 8 + 1)
  await rejection(Overlay.open(impossible, base, BASE), 'ERR_OVERLAY_INVALID')
  // A header with a digest that fits, and blocks so long that one would not fit into memory.
  const huge = readFileSync(path)
  huge.writeUInt32LE(2 ** 31, 8)
  createHash('sha256').update(huge.subarray(0, 4064)).digest().copy(huge, 4064)
  writeFileSync(join(folder, 'huge'), huge)
  await rejection(Overlay.open(join(folder, 'huge'), base, BASE), 'ERR_OVERLAY_INVALID')
  const cut = join(folder, 'cut')
  copyFileSync(path, cut)
  truncateSync(cut, 4000)
  await rejection(Overlay.open(cut, base, BASE), 'ERR_OVERLAY_INVALID')
})

async function flip(path: string, bit: number): Promise<void> {
  const file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, bit >>> 3)
  byte[0]! ^= 1 << (bit & 7)
  await file.write(byte, 0, 1, bit >>> 3)
  await file.close()
}

test('ranges outside of the image', async (t) => {
  const path = join(t.testdir(), 'overlay')
  await using overlay = await Overlay.open(path, baseImage(), BASE)
  await rejection(overlay.write(IMAGE_BYTES - 1, Buffer.alloc(2)), 'ERR_INVALID_ARGUMENT')
  await rejection(overlay.write(-1, Buffer.alloc(2)), 'ERR_INVALID_ARGUMENT')
  await rejection(overlay.zero(0, IMAGE_BYTES + 1), 'ERR_INVALID_ARGUMENT')
  t.equal(await overlay.readInto(IMAGE_BYTES - 3, Buffer.alloc(10)), 3)
  t.equal(await overlay.readInto(IMAGE_BYTES + 3, Buffer.alloc(10)), 0)
  writeFileSync(`${path}.copy`, '')
  await using empty = await Overlay.open(`${path}.copy`, new MemoryImage(Buffer.alloc(0)), BASE)
  t.equal(empty.sizeBytes, 0)
  await empty.flush()
})
