// Restores of parts of an image, of what differs, and those that go on where an earlier one was interrupted.

import { type BlockTarget, PlatterError, type PreparedTarget, type RestoreJournal } from '@platter/core'
import { MemorySource, MemoryTarget, StreamTarget } from '@platter/fs-adapters'
import type { Repository, RestoreOptions, RestoreStats } from '@platter/repo'
import * as fc from 'fast-check'
import { test } from 'tap'
import {
  backUp,
  codeOf,
  diskImage,
  newRepository,
  noise,
  rejection,
  sameBytes,
  targetFrom,
} from './adversity.ts'

const IMAGE = diskImage('parts', 500_001)
const BLOCK = 4096

/** What a restore of a part has to leave on a target that held `before`. */
function expected(image: Uint8Array, before: Uint8Array, options: RestoreOptions): Uint8Array {
  const { range = { offset: 0, length: image.length }, except = [] } = options
  const result = new Uint8Array(range.length)
  result.set(image.subarray(range.offset, range.offset + range.length))
  for (const { offset, length } of except) {
    for (
      let at = Math.max(offset, range.offset);
      at < Math.min(offset + length, range.offset + range.length);
      at++
    )
      result[at - range.offset] = before[at - range.offset] ?? 0
  }
  return result
}

/** Takes writes that have not been flushed apart: a crash keeps any sectors of them. */
class CrashTarget implements BlockTarget {
  readonly info = { kind: 'memory', label: 'crashing', capacityBytes: undefined, identity: 'one disk' }
  readonly sequential = false
  durable: Uint8Array
  #now: Uint8Array
  readonly #step: () => void

  constructor(content: Uint8Array, step: () => void) {
    this.durable = content.slice()
    this.#now = content.slice()
    this.#step = step
  }

  async prepare(): Promise<{ blank: boolean }> {
    return { blank: false }
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    this.#now.set(data, offset)
    this.#step()
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#now.fill(0, offset, offset + length)
    this.#step()
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const piece = this.#now.subarray(offset, offset + into.length)
    into.set(piece)
    return piece.length
  }

  async flush(): Promise<void> {
    this.#step()
    this.durable = this.#now.slice()
  }

  /** What is left after a crash: of what was not flushed, every second sector or none. */
  crashed(parity: number): Uint8Array {
    const left = this.durable.slice()
    for (let at = 0; at < left.length; at += 512)
      if ((at / 512) % 2 === parity) left.set(this.#now.subarray(at, at + 512), at)
    return left
  }

  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

class MemoryJournal implements RestoreJournal {
  readonly label = 'journal'
  bytes: Uint8Array | undefined
  saves = 0
  readonly #step: () => void

  constructor(bytes?: Uint8Array, step: () => void = () => {}) {
    this.bytes = bytes
    this.#step = step
  }

  async load(): Promise<Uint8Array | undefined> {
    return this.bytes
  }

  async save(bytes: Uint8Array): Promise<void> {
    this.#step()
    this.bytes = bytes
    this.saves++
    this.#step()
  }

  async remove(): Promise<void> {
    this.#step()
    this.bytes = undefined
  }
}

function sumOf({ bytesWritten, bytesZeroed, bytesUnchanged, bytesLeft }: RestoreStats): number {
  return bytesWritten + bytesZeroed + bytesUnchanged + bytesLeft
}

test('any part of an image, over anything, with anything left out', async (t) => {
  const repo = await newRepository()
  await backUp(repo, IMAGE)
  const place = fc.integer({ min: 0, max: IMAGE.length })
  const one = fc.record({
    ends: fc.tuple(place, place),
    cuts: fc.uniqueArray(place, { maxLength: 6 }),
    onlyDifferent: fc.boolean(),
    workers: fc.constantFrom(0, 0, 0, 0, 2),
    before: fc.constantFrom('noise', 'image'),
  })
  await fc.assert(
    fc.asyncProperty(one, async ({ ends, cuts, onlyDifferent, workers, before }) => {
      const [from, to] = ends.toSorted((a, b) => a - b) as [number, number]
      const range = { offset: from, length: to - from }
      const sorted = cuts.toSorted((a, b) => a - b)
      const except = []
      for (let i = 0; i + 1 < sorted.length; i += 2)
        except.push({ offset: sorted[i]!, length: sorted[i + 1]! - sorted[i]! })
      const content = before === 'noise' ? noise('before', range.length) : IMAGE.slice(from, to)
      // MemoryTarget empties itself unless what differs is asked for, as a file does; a device does not.
      const was = content.slice()
      const device = new MemoryTarget({ content })
      await device.prepare(range.length, { keepContent: true })
      const target = targetFrom(
        { prepare: async () => ({ blank: false }), read: device.read.bind(device) },
        device,
      )
      const stats = await repo.restore('latest', target, { range, except, onlyDifferent, workers })
      const wanted = expected(IMAGE, was, { range, except })
      if (!sameBytes(device.bytes, wanted)) throw new Error('other bytes')
      if (stats.bytesTotal !== range.length || sumOf(stats) !== range.length) throw new Error('wrong sums')
      const left = except.reduce((sum, { offset, length }) => {
        return sum + Math.max(0, Math.min(offset + length, to) - Math.max(offset, from))
      }, 0)
      if (stats.bytesLeft !== left) throw new Error(`${stats.bytesLeft} left, not ${left}`)
      if (before === 'image' && onlyDifferent && stats.bytesWritten + stats.bytesZeroed > 0)
        throw new Error('something was written that was there already')
    }),
    { numRuns: 25, seed: 4 },
  )
  t.pass('25 parts')
})

test('a part goes to a stream as well', async (t) => {
  const repo = await newRepository()
  await backUp(repo, IMAGE)
  for (const range of [
    { offset: 0, length: 70_000 },
    { offset: 66_000, length: 200_001 },
    { offset: 100_000, length: 0 },
    { offset: 499_000, length: 1_001 },
  ]) {
    const pieces: Uint8Array[] = []
    const target = new StreamTarget({
      write: async (bytes: Uint8Array) => void pieces.push(bytes.slice()),
      end: async () => {},
      abort: async () => {},
    })
    await repo.restore('latest', target, { range, workers: 0 })
    t.ok(
      sameBytes(Buffer.concat(pieces), expected(IMAGE, new Uint8Array(0), { range })),
      JSON.stringify(range),
    )
  }
  const stream = targetFrom({ sequential: true })
  const except = [{ offset: 0, length: 1 }]
  t.equal(await codeOf(repo.restore('latest', stream, { except })), 'ERR_INVALID_ARGUMENT')
  t.equal(await codeOf(repo.restore('latest', stream, { unused: 'keep' })), 'ERR_INVALID_ARGUMENT')
})

test('ranges that are none', async (t) => {
  const repo = await newRepository()
  await backUp(repo, IMAGE)
  const target = new MemoryTarget()
  const ranges = [
    { offset: -1, length: 2 },
    { offset: 0, length: IMAGE.length + 1 },
    { offset: IMAGE.length + 1, length: 0 },
    { offset: 0.5, length: 1 },
    { offset: 1, length: -1 },
    { offset: Number.NaN, length: 1 },
  ]
  for (const range of ranges) {
    t.equal(await codeOf(repo.restore('latest', target, { range })), 'ERR_INVALID_ARGUMENT')
    t.equal(await codeOf(repo.restore('latest', target, { except: [range] })), 'ERR_INVALID_ARGUMENT')
  }
  const disorder = [
    { offset: 10, length: 10 },
    { offset: 5, length: 10 },
  ]
  t.equal(await codeOf(repo.restore('latest', target, { except: disorder })), 'ERR_INVALID_ARGUMENT')
  const journal = new MemoryJournal()
  t.equal(await codeOf(repo.restore('latest', target, { journal })), 'ERR_INVALID_ARGUMENT')
  const range = { offset: 0, length: 1 }
  for (const options of [{ range }, { except: [range] }, { unused: 'keep' as const }, { journal }])
    t.equal(
      await codeOf(repo.restore('latest', target, { allowDamaged: true, ...options })),
      'ERR_INVALID_ARGUMENT',
    )
})

test('only blocks that differ are written', async (t) => {
  const repo = await newRepository()
  const image = noise('many blocks', 512 * BLOCK)
  image.fill(0, 100 * BLOCK, 200 * BLOCK)
  await backUp(repo, image)
  for (const workers of [0, 2]) {
    const content = image.slice()
    const changed = [3, 4, 90, 120, 121, 199, 300, 511]
    for (const block of changed) content[block * BLOCK + 17]! ^= 255
    const device = new MemoryTarget({ content })
    let bytes = 0
    const target = targetFrom(
      {
        read: (...args) => device.read(...args),
        write: async (offset, data) => {
          bytes += data.length
          await device.write(offset, data)
        },
        zero: async (offset, length) => {
          bytes += length
          await device.zero(offset, length)
        },
      },
      device,
    )
    const stats = await repo.restore('latest', target, { onlyDifferent: true, workers })
    t.ok(sameBytes(device.bytes, image))
    t.equal(bytes, changed.length * BLOCK)
    // A hole ends with its region, or belongs to a chunk: that of block 199 is too short to be one.
    t.equal(stats.bytesWritten, 6 * BLOCK)
    t.equal(stats.bytesZeroed, 2 * BLOCK)
    t.equal(stats.bytesUnchanged, (512 - changed.length) * BLOCK)
  }
})

test('what was left out of a backup is zeroed, or left as it is', async (t) => {
  const repo = await newRepository()
  const image = noise('with free blocks', 80 * BLOCK)
  const unused = { offset: 10 * BLOCK, length: 45 * BLOCK }
  const source = new MemorySource(image, {
    extents: [
      { offset: 0, length: unused.offset, kind: 'data' },
      { ...unused, kind: 'unused' },
      { offset: 55 * BLOCK, length: 25 * BLOCK, kind: 'data' },
    ],
  })
  await repo.backup(source, { workers: 0, name: 'disk' })
  const wanted = image.slice()
  wanted.fill(0, unused.offset, unused.offset + unused.length)
  for (const onlyDifferent of [false, true]) {
    for (const keep of [false, true]) {
      const before = noise('old', image.length)
      const device = new MemoryTarget({ content: before.slice() })
      const prepare = (bytes: number) => device.prepare(bytes, { keepContent: true })
      const target = targetFrom({ prepare, read: device.read.bind(device) }, device)
      const stats = await repo.restore('latest', target, {
        onlyDifferent,
        unused: keep ? 'keep' : 'zero',
        workers: 0,
      })
      const after = wanted.slice()
      if (keep) after.set(before.subarray(unused.offset, unused.offset + unused.length), unused.offset)
      t.ok(sameBytes(device.bytes, after), `${onlyDifferent} ${keep}`)
      t.equal(stats.bytesLeft, keep ? unused.length : 0)
      t.equal(stats.bytesZeroed, keep ? 0 : unused.length)
    }
  }
})

/** Restores with a journal until it crashes at step `at`, then again; says how much the second run passed over. */
async function interrupted(
  repo: Repository,
  at: number,
  parity: number,
): Promise<{ steps: number; left: number }> {
  let steps = 0
  const step = (): void => {
    if (++steps === at) throw new PlatterError('ERR_TARGET_WRITE', 'The power went out.')
    if (steps > at) throw new PlatterError('ERR_TARGET_WRITE', 'There is no power.')
  }
  const options = { onlyDifferent: true, journalBytes: 64 * 1024, workers: 0 }
  const before = noise('an old disk', IMAGE.length)
  const first = new CrashTarget(before, step)
  const journal = new MemoryJournal(undefined, step)
  const outcome = await repo.restore('latest', first, { ...options, journal }).then(
    () => undefined,
    (error: unknown) => error,
  )
  if (outcome === undefined) return { steps, left: 0 }
  // Never ahead of what a crash leaves, whatever an audit would find.
  const said = Number(
    Buffer.from(journal.bytes ?? [])
      .toString()
      .split(' ')[3] ?? 0,
  )
  if (!sameBytes(first.durable.subarray(0, said), IMAGE.subarray(0, said)))
    throw new Error(`at step ${at} the journal says ${said}, and that is not there`)
  const second = new CrashTarget(first.crashed(parity), () => {})
  const again = new MemoryJournal(journal.bytes)
  const stats = await repo.restore('latest', second, { ...options, journal: again })
  if (!sameBytes(second.durable, IMAGE)) throw new Error(`after a crash at step ${at} it is another image`)
  if (again.bytes !== undefined) throw new Error('the journal was not removed')
  return { steps, left: stats.bytesLeft }
}

test('an interruption at any step is taken up from the journal', async (t) => {
  const repo = await newRepository()
  await backUp(repo, IMAGE)
  const { steps } = await interrupted(repo, Number.POSITIVE_INFINITY, 0)
  t.ok(steps > 30, `${steps} steps`)
  let most = 0
  for (let at = 1; at <= steps; at++) most = Math.max(most, (await interrupted(repo, at, at % 2)).left)
  t.ok(most >= IMAGE.length - 2 * 64 * 1024, `the last ones passed over ${most} bytes`)
})

test('a journal that says too much is not believed', async (t) => {
  const repo = await newRepository()
  await backUp(repo, IMAGE)
  let steps = 0
  const journal = new MemoryJournal(undefined, () => {
    if (++steps === 13) throw new Error('stop')
  })
  const options = { onlyDifferent: true, journalBytes: 64 * 1024, workers: 0 }
  const before = noise('old', IMAGE.length)
  await rejection(repo.restore('latest', new CrashTarget(before, () => {}), { ...options, journal }))
  const saved = journal.bytes!
  t.ok(journal.saves >= 5, `${journal.saves} saves`)
  const run = async (bytes: Uint8Array, target: BlockTarget): Promise<number | string> => {
    try {
      const stats = await repo.restore('latest', target, { ...options, journal: new MemoryJournal(bytes) })
      return stats.bytesLeft
    } catch (error) {
      return (error as PlatterError).code
    }
  }
  // Sound, on a target that has been exchanged behind one identity: each region is sampled.
  const other = new CrashTarget(before, () => {})
  t.equal(await run(saved, other), 0)
  t.ok(sameBytes(other.durable, IMAGE))
  // The same over a target that knows that it is not the one that was interrupted, or is empty.
  for (const prepared of [{ blank: false, resumable: false }, { blank: true }]) {
    const device = new CrashTarget(IMAGE, () => {})
    t.equal(await run(saved, Object.assign(device, { prepare: async () => prepared })), 0)
  }
  t.ok(((await run(saved, new CrashTarget(IMAGE, () => {}))) as number) > 0, 'and one that is as it was is')
  // Cut off anywhere, it counts as none.
  for (let length = 0; length < saved.length; length += 9)
    t.equal(await run(saved.subarray(0, length), new CrashTarget(IMAGE, () => {})), 0, `cut to ${length}`)
  // With a byte changed, it counts as none, or is refused; never is anything passed over.
  for (let at = 0; at < saved.length; at += 11) {
    const changed = saved.slice()
    changed[at]! ^= 1
    const outcome = await run(changed, new CrashTarget(IMAGE, () => {}))
    t.ok(outcome === 0 || outcome === 'ERR_JOURNAL_INVALID', `changed at ${at}: ${outcome}`)
  }
  t.equal(await run(noise('no journal', 200), new CrashTarget(IMAGE, () => {})), 'ERR_JOURNAL_INVALID')
  const elsewhere = Object.assign(new CrashTarget(IMAGE, () => {}), {
    info: { kind: 'memory', label: 'crashing', capacityBytes: undefined, identity: 'another disk' },
  })
  t.equal(await run(saved, elsewhere), 'ERR_JOURNAL_INVALID')
  await backUp(repo, diskImage('another', 500_001))
  t.equal(await run(saved, new CrashTarget(IMAGE, () => {})), 'ERR_JOURNAL_INVALID', 'another snapshot')
})

test('a restore that begins anew does not leave a journal that says more', async (t) => {
  const repo = await newRepository()
  await backUp(repo, IMAGE)
  const said = (journal: MemoryJournal): string => Buffer.from(journal.bytes!).toString().split(' ')[3]!
  const options = { onlyDifferent: true, journalBytes: 64 * 1024, workers: 0 }
  const journal = new MemoryJournal()
  let stepsLeft = 0
  const step = (): void => {
    if (stepsLeft-- <= 0) throw new PlatterError('ERR_TARGET_WRITE', 'The power went out.')
  }
  const attempt = async (steps: number, resumable: boolean): Promise<string> => {
    stepsLeft = steps
    const prepare = async (): Promise<PreparedTarget> => ({ blank: false, resumable })
    const target = Object.assign(new CrashTarget(noise('an old disk', IMAGE.length), step), { prepare })
    return await codeOf(repo.restore('latest', target, { ...options, journal }))
  }
  for (let steps = 1; journal.bytes === undefined || said(journal) === '0'; steps++)
    t.equal(await attempt(steps, true), 'ERR_TARGET_WRITE')
  // Something else has been on the disk meanwhile; this attempt marks it as its own, and comes no further.
  t.equal(await attempt(0, false), 'ERR_TARGET_WRITE')
  t.equal(said(journal), '0')
})
