// Partition tables rewritten for another disk: what comes out is sound, says the same, and is nowhere but in its place.
import { deepEqual, equal, ok } from 'node:assert/strict'
import { PlatterError } from '@platter/core'
import {
  type DiskWrite,
  type PartitionTable,
  type PartitionTableChanges,
  rewritePartitionTable,
} from '@platter/fs-adapters/partitions'
import fc from 'fast-check'
import { test } from 'tap'
import { damagedTables } from './partitions/damaged-tables.ts'
import { type MadeGpt, madeGpt, madeMbr } from './partitions/made-tables.ts'
import { gpts, mbrs } from './partitions/random-tables.ts'
import { codesOf, read } from './partitions/sound-table.ts'

const MiB = 2 ** 20
const RUNS = 150

/** Changes, with a size relative to what it was. */
const changes = fc.record(
  {
    more: fc.oneof(fc.integer({ min: -3_000_000_000, max: 3_000_000_000 }), fc.constant(4 * 2 ** 40)),
    sectorBytes: fc.constantFrom(512, 4096),
    growIndex: fc.nat({ max: 30 }),
    newIdentity: fc.boolean(),
  },
  { requiredKeys: [] },
)

function changesFor(
  table: PartitionTable,
  { more, growIndex, ...rest }: { more?: number; growIndex?: number },
): PartitionTableChanges {
  const grow = growIndex === undefined ? undefined : table.partitions[growIndex]?.number
  return {
    ...rest,
    ...(more !== undefined && { sizeBytes: Math.max(0, table.sizeBytes + more) }),
    ...(grow !== undefined && { grow }),
  }
}

/** What was computed, or undefined where it was refused with one of the errors it may be. */
function rewritten(
  table: PartitionTable,
  changes: PartitionTableChanges,
): ReturnType<typeof rewritePartitionTable> | undefined {
  try {
    return rewritePartitionTable(table, changes)
  } catch (error) {
    ok(PlatterError.is(error), String(error))
    ok(
      ['ERR_PARTITION_TABLE', 'ERR_TARGET_TOO_SMALL'].includes(error.code),
      `${error.code}: ${error.message}`,
    )
    return undefined
  }
}

function assertNothingHit(writes: readonly DiskWrite[], partitions: PartitionTable['partitions']): void {
  const leaves = partitions.filter(({ kind }) => kind !== 'extended')
  for (const { offset, bytes } of writes)
    for (const { number, ...partition } of leaves)
      ok(
        offset + bytes.length <= partition.offset || offset >= partition.offset + partition.length,
        `partition ${number} is overwritten`,
      )
}

/** All but what a change changes. */
function lasting({ partitions }: PartitionTable, changes: PartitionTableChanges): unknown {
  return partitions.map(({ partUuid, length, ...rest }) => [
    rest,
    changes.newIdentity || partUuid,
    rest.number === changes.grow || length,
  ])
}

test('a GPT for another disk', async () => {
  let count = 0
  await fc.assert(
    fc.asyncProperty(gpts, changes, async (made, wanted) => {
      const disk = madeGpt(made)
      const table = await read(disk)
      const change = changesFor(table, wanted)
      const result = rewritten(table, change)
      if (result === undefined) return
      count++
      const { sizeBytes = table.sizeBytes, sectorBytes = table.sectorBytes } = change
      assertNothingHit(result.writes, result.table.partitions)
      const target = disk
        .resized(sizeBytes, { kind: 'block-device', logicalSectorBytes: sectorBytes })
        .writeAll(result.writes)
      const moved = await read(target)
      deepEqual(
        codesOf(moved),
        codesOf(table).filter((code) => code === 'entry-size'),
      )
      deepEqual(moved, result.table)
      deepEqual(lasting(moved, change), lasting(table, change))
      ok(moved.kind === 'gpt' && table.kind === 'gpt')
      equal(moved.copies.backup?.headerLba, Math.floor(sizeBytes / sectorBytes) - 1)
      equal(moved.diskGuid === table.diskGuid, !change.newIdentity)
      for (const [i, { length }] of moved.partitions.entries()) ok(length >= table.partitions[i]!.length)
    }),
    { numRuns: RUNS },
  )
  ok(count > RUNS / 4, `${count} of ${RUNS} were possible`)
})

test('an MBR for another disk', async () => {
  let count = 0
  await fc.assert(
    fc.asyncProperty(mbrs, changes, async (made, wanted) => {
      const disk = madeMbr(made)
      const table = await read(disk, made.sectorBytes)
      const change = changesFor(table, wanted)
      const result = rewritten(table, change)
      if (result === undefined) return
      count++
      const { sizeBytes = table.sizeBytes, sectorBytes = table.sectorBytes } = change
      assertNothingHit(result.writes, result.table.partitions)
      ok(result.writes.every(({ offset }) => offset === 0))
      const moved = await read(disk.resized(sizeBytes).writeAll(result.writes), sectorBytes)
      deepEqual(codesOf(moved), [])
      deepEqual(moved.partitions, result.table.partitions)
      deepEqual(lasting(moved, change), lasting(table, change))
    }),
    { numRuns: RUNS },
  )
  ok(count > RUNS / 4, `${count} of ${RUNS} were possible`)
})

test('tables that cannot be relied upon are not rewritten', async (t) => {
  for (const [what, { disk, isTrustworthy }] of Object.entries(damagedTables())) {
    const table = await read(disk)
    if (!isTrustworthy) {
      t.throws(() => rewritePartitionTable(table), { code: 'ERR_PARTITION_TABLE' }, what)
      continue
    }
    const { writes } = rewritePartitionTable(table)
    const again = await read(disk.writeAll(writes))
    t.same(again.partitions, table.partitions, what)
    const lasting = [
      'duplicate-guid',
      'entry-size',
      'stale-gpt',
      'protective-mbr-missing',
      'sector-size-differs',
    ]
    t.same(
      codesOf(again),
      codesOf(table).filter((code) => lasting.includes(code)),
      `${what}: all that can be repaired is`,
    )
  }
})

const MADE: MadeGpt = {
  sizeBytes: 64 * MiB,
  partitions: [
    { number: 1, first: 2048, last: 4095 },
    { number: 2, first: 8192, last: 9999 },
  ],
}

test('a repair brings back every byte', async (t) => {
  const unusual = {
    usual: {},
    'less usable space': { lastUsable: 120_000 },
    'entries elsewhere': { entriesLba: 40 },
  }
  for (const [what, made] of Object.entries(unusual)) {
    const sound = madeGpt({ ...MADE, ...made })
    for (const [sector, count] of [
      [131_071, 1],
      [131_039, 32],
      [1, 1],
      [2, 32],
    ] as const) {
      // A first header that is gone no longer says where its entries were.
      if (what === 'entries elsewhere' && sector < 3) continue
      const disk = madeGpt({ ...MADE, ...made }).write(sector * 512, new Uint8Array(count * 512).fill(1))
      disk.writeAll(rewritePartitionTable(await read(disk)).writes)
      t.ok(disk.at(0, MiB).equals(sound.at(0, MiB)), `${what}: ${count} sectors from ${sector}`)
      t.ok(disk.at(63 * MiB, MiB).equals(sound.at(63 * MiB, MiB)))
    }
  }
})

test('one copy is sound after each write', async (t) => {
  const zeros = new Uint8Array(512)
  const damages = { nothing: [], 'the primary': [1], 'primary entries': [2], 'the backup': [131_071] }
  for (const [what, sectors] of Object.entries(damages))
    for (const sizeBytes of [64 * MiB, 100 * MiB]) {
      const disk = madeGpt(MADE)
      for (const sector of sectors) disk.write(sector * 512, zeros)
      const table = await read(disk)
      const grownDisk = disk.resized(sizeBytes)
      const { writes } = rewritePartitionTable(table, { sizeBytes, grow: 2, newIdentity: true })
      for (const [i, write] of writes.entries()) {
        // Of a disk that has grown and a header that is lost, nothing tells where the backup is.
        const isLost = what === 'the primary' && sizeBytes > 64 * MiB && i === 0
        const { kind, partitions } = await read(grownDisk.writeAll([write]))
        if (!isLost) t.same([kind, partitions.length], ['gpt', 2], `without ${what}, after write ${i}`)
      }
    }
})

test('growing', async (t) => {
  const lengthOf = (table: PartitionTable, number: number): number | undefined =>
    table.partitions.find((partition) => partition.number === number)?.length
  const table = await read(madeGpt(MADE))
  t.equal(lengthOf(rewritePartitionTable(table, { grow: 1 }).table, 1), 3 * MiB)
  t.equal(lengthOf(rewritePartitionTable(table, { grow: 2 }).table, 2), 59 * MiB)
  t.equal(lengthOf(rewritePartitionTable(table, { grow: 2, sizeBytes: 6 * MiB }).table, 2), MiB)
  const least = 10_000 * 512 + 33 * 512
  t.equal(lengthOf(rewritePartitionTable(table, { grow: 2, sizeBytes: least }).table, 2), 1808 * 512)
  // An MBR counts 2^32 - 1 sectors.
  const mbr = await read(
    madeMbr({ sizeBytes: 64 * MiB, entries: [{ type: 7, start: 2048, sectors: 100_000 }] }),
  )
  const grown = rewritePartitionTable(mbr, { grow: 1, sizeBytes: 5 * 2 ** 40 })
  t.equal(lengthOf(grown.table, 1), 2 ** 41 - 2 * MiB)
})

test('identities come from the random bytes that are given', async (t) => {
  const table = await read(madeGpt(MADE))
  let byte = 0
  const random = (length: number): Uint8Array => new Uint8Array(length).fill(++byte)
  const clone = rewritePartitionTable(table, { newIdentity: true, random }).table
  t.same(
    clone.partitions.map(({ partUuid }) => partUuid),
    ['01010101-0101-4101-8101-010101010101', '02020202-0202-4202-8202-020202020202'],
  )
  t.match(clone, { diskGuid: '03030303-0303-4303-8303-030303030303' })
  const zeros = (length: number): Uint8Array => new Uint8Array(length)
  for (const bad of [zeros, () => Uint8Array.of(1)])
    t.throws(() => rewritePartitionTable(table, { newIdentity: true, random: bad }), {
      code: 'ERR_INVALID_ARGUMENT',
    })
})

test('what is asked must make sense', async (t) => {
  const table = await read(madeGpt(MADE))
  for (const nonsense of [
    { sizeBytes: -1 },
    { sizeBytes: 1.5 },
    { sizeBytes: Number.NaN },
    { sectorBytes: 520 },
    { sectorBytes: 0 },
    { grow: 3 },
    { grow: 0 },
  ])
    t.throws(
      () => rewritePartitionTable(table, nonsense),
      { code: 'ERR_INVALID_ARGUMENT' },
      JSON.stringify(nonsense),
    )
  for (const sizeBytes of [0, 1, 512, 4 * MiB])
    t.throws(() => rewritePartitionTable(table, { sizeBytes }), {
      code: 'ERR_TARGET_TOO_SMALL',
      details: { expected: 10_033 * 512, actual: sizeBytes },
    })
})

test('a table that has no room in longer sectors', async (t) => {
  const at = async (first: number, entryCount: number): Promise<PartitionTable> =>
    await read(madeGpt({ ...MADE, entryCount, partitions: [{ number: 1, first, last: 4095 }] }))
  const longer = { sectorBytes: 4096 }
  // The MBR, the header and 16 KiB of entries take 6 sectors; 40 times 512 bytes are 5.
  t.equal(rewritePartitionTable(await at(48, 128), longer).table.partitions[0]?.offset, 48 * 512)
  const near = await at(40, 128)
  t.throws(() => rewritePartitionTable(near, longer), { code: 'ERR_PARTITION_TABLE' })
})

test('a short table leaves nothing behind that longer sectors would show', async (t) => {
  const made = { ...MADE, entryCount: 16, partitions: [{ number: 1, first: 2048, last: 4095 }] }
  const disk = madeGpt(made)
  const { writes } = rewritePartitionTable(await read(disk), { sectorBytes: 4096 })
  const moved = await read(disk.writeAll(writes))
  t.match(moved, { kind: 'gpt', sectorBytes: 4096, isTrustworthy: true })
})

test('a backup is in place only for sectors of the same size', async (t) => {
  const table = await read(
    madeGpt({ sizeBytes: 64 * MiB, sectorBytes: 4096, partitions: [{ number: 1, first: 256, last: 4000 }] }),
  )
  t.throws(() => rewritePartitionTable(table, { sectorBytes: 512, sizeBytes: 8 * MiB }), {
    code: 'ERR_TARGET_TOO_SMALL',
    details: { expected: 4001 * 4096 + 33 * 512 },
  })
})
