// Partition tables on disks that lie in memory: what is read of them when they are sound, damaged, or made to deceive.
import { deepEqual, equal, ok } from 'node:assert/strict'
import { PlatterError } from '@platter/core'
import { MemorySource } from '@platter/fs-adapters'
import { type ByteRange, readPartitionTable } from '@platter/fs-adapters/partitions'
import fc from 'fast-check'
import { test } from 'tap'
import { rejection } from './assertions.ts'
import { damagedTables } from './partitions/damaged-tables.ts'
import {
  DISK_GUID,
  type MadeGpt,
  type MadeMbr,
  madeGpt,
  madeMbr,
  mbrBytes,
} from './partitions/made-tables.ts'
import { gpts, mbrs } from './partitions/random-tables.ts'
import { codesOf, read, readFlawless } from './partitions/sound-table.ts'
import { SparseDisk } from './partitions/sparse-disk.ts'

const MiB = 2 ** 20
const RUNS = 100

/** Partitions as what was made says. */
function partitionsOf({ partitions = [], sectorBytes = 512 }: MadeGpt): unknown[] {
  return [...partitions]
    .sort((a, b) => a.number - b.number)
    .map(({ number, first, last, name = '', guid, type, attributes = 0n }) => ({
      number,
      kind: 'primary',
      offset: first * sectorBytes,
      length: (last - first + 1) * sectorBytes,
      type,
      typeName: 'Linux filesystem',
      partUuid: guid,
      name,
      bootable: (attributes & 4n) !== 0n,
      attributeBits: Array.from({ length: 64 }, (_, i) => i).filter((i) => (attributes >> BigInt(i)) & 1n),
    }))
}

test('a GPT is read as it was made', async () => {
  await fc.assert(
    fc.asyncProperty(gpts, async (made) => {
      const table = await read(madeGpt(made))
      const unusual = ['entry-size', 'sector-size-differs']
      ok(codesOf(table).every((code) => unusual.includes(code)))
      ok(table.kind === 'gpt')
      equal(table.diskGuid, DISK_GUID)
      equal(table.sectorBytes, made.sectorBytes)
      deepEqual(Object.keys(table.copies), ['primary', 'backup'])
      deepEqual(table.partitions, partitionsOf(made))
    }),
    { numRuns: RUNS },
  )
})

test('an MBR is read as it was made', async () => {
  await fc.assert(
    fc.asyncProperty(mbrs, async (made) => {
      const { sectorBytes, entries, logicals = [] } = made
      const table = await readFlawless(madeMbr(made), sectorBytes)
      ok(table.kind === 'mbr')
      equal(table.signature, '1234abcd')
      const all = [
        ...entries.map((entry, i) => ({ ...entry!, number: i + 1 })),
        ...logicals.map((entry, i) => ({ ...entry, number: i + 5 })),
      ]
      deepEqual(
        table.partitions.map(({ number, kind, type, partUuid, offset, length }) => [
          number,
          kind,
          type,
          partUuid,
          offset / sectorBytes,
          length / sectorBytes,
        ]),
        all.map(({ number, type = 0, start, sectors }) => [
          number,
          number > 4 ? 'logical' : [5, 15, 0x85].includes(type) ? 'extended' : 'primary',
          type.toString(16).padStart(2, '0'),
          `1234abcd-${number.toString(16).padStart(2, '0')}`,
          start,
          sectors,
        ]),
      )
      equal(table.areas.filter(({ kind }) => kind === 'ebr').length, Math.max(1, logicals.length))
    }),
    { numRuns: RUNS },
  )
})

for (const [what, { disk, kind, codes, isTrustworthy, partitions = 2 }] of Object.entries(damagedTables())) {
  test(`corpus: ${what}`, async (t) => {
    const table = await read(disk)
    t.match(table, { kind, isTrustworthy })
    t.same(codesOf(table), codes)
    t.equal(table.partitions.length, partitions)
  })
}

const MADE: MadeGpt = {
  sizeBytes: 8 * MiB,
  partitions: [
    { number: 1, first: 2048, last: 4095, name: 'one' },
    { number: 3, first: 6000, last: 9999, name: 'two', attributes: 5n },
  ],
}

test('no damaged byte of a GPT makes another table of it', async (t) => {
  const disk = madeGpt(MADE)
  const sound = await readFlawless(disk)
  const last = 8 * MiB - 512
  const range = (from: number, length: number): number[] => Array.from({ length }, (_, i) => from + i)
  const entriesOf = (from: number): number[] => [
    ...range(from, 48),
    ...range(from + 256, 130),
    from + 9000,
    from + 16_383,
  ]
  const places: Readonly<Record<string, readonly number[]>> = {
    'primary header': range(512, 92),
    'primary entries': entriesOf(1024),
    'backup header': range(last, 92),
    'backup entries': entriesOf(last - 32 * 512),
    MBR: range(446, 66),
  }
  for (const [what, offsets] of Object.entries(places)) {
    const kept = { same: 0, doubtful: 0 }
    for (const offset of offsets) {
      for (const mask of [0x01, 0xff]) {
        const undo = disk.patch(offset, (byte) => byte ^ mask)
        const table = await read(disk)
        undo()
        if (!table.isTrustworthy) kept.doubtful++
        else {
          deepEqual(table.partitions, sound.partitions, `${what}: byte ${offset}`)
          if (what !== 'MBR') {
            ok(
              table.problems.some(({ copy }) => copy === what.split(' ')[0]),
              `${what}: byte ${offset} is not reported`,
            )
          }
          kept.same++
        }
      }
    }
    // Of the MBR, everything counts but sizes, boot indicator and addresses by cylinder.
    if (what !== 'MBR') t.same(kept, { same: 2 * offsets.length, doubtful: 0 }, what)
    else t.ok(kept.same > 0 && kept.doubtful > 0, what)
  }
})

test('damage of any length to either copy', async () => {
  const sound = await readFlawless(madeGpt(MADE))
  const copyBytes = 33 * 512
  const damage = fc.record({
    isBackup: fc.boolean(),
    at: fc.nat({ max: copyBytes - 1 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 2000 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), async (damages) => {
      const disk = madeGpt(MADE)
      for (const { isBackup, at, bytes } of damages)
        disk.write((isBackup ? 8 * MiB - copyBytes : 512) + at, bytes.subarray(0, copyBytes - at))
      const table = await read(disk)
      if (table.isTrustworthy) deepEqual(table.partitions, sound.partitions)
      // With damage to one copy only there is always a table, and never another one.
      const isOne = damages.every(({ isBackup }) => isBackup === damages[0]!.isBackup)
      if (isOne) deepEqual(table.partitions, sound.partitions)
    }),
    { numRuns: 2 * RUNS },
  )
})

test('a damaged byte of an MBR or its chain gives a value that is sound in itself', async () => {
  const made: MadeMbr = {
    sizeBytes: 64 * MiB,
    entries: [
      { type: 0x83, start: 2048, sectors: 30_000 },
      { type: 5, start: 40_000, sectors: 90_000 },
    ],
    logicals: [
      { start: 42_000, sectors: 2000 },
      { start: 50_000, sectors: 2000 },
    ],
  }
  const disk = madeMbr(made)
  for (const sector of [0, 40_000, 49_999])
    for (let at = 446; at < 512; at++) {
      const undo = disk.patch(sector * 512 + at, (byte) => byte ^ 0x11)
      await read(disk, 512)
      undo()
    }
})

test('the backup stands in only for what it is confirmed by', async (t) => {
  const disk = madeGpt(MADE).write(512, new Uint8Array(33 * 512))
  const doubtful = await read(disk)
  t.match(doubtful, { isTrustworthy: false, copy: 'backup', kind: 'gpt' })
  const trusted = await readPartitionTable(disk, { trustBackup: true })
  t.match(trusted, { isTrustworthy: true, copy: 'backup', partitions: doubtful.partitions })
  t.same(codesOf(trusted), codesOf(doubtful))
})

test('areas hold all that is of a table, sound or not, and what is before and behind all partitions', async (t) => {
  const wanted = [
    { offset: 0, length: 2048 * 512 },
    { offset: 10_000 * 512, length: 8 * MiB - 10_000 * 512 },
  ]
  const zeroed: readonly (readonly [number, number])[] = [
    [1, 0],
    [1, 1],
    [2, 32],
    [16_383, 1],
    [16_351, 33],
  ]
  for (const [sector, count] of zeroed) {
    const disk = madeGpt(MADE).write(sector * 512, new Uint8Array(count * 512))
    t.same(joined((await read(disk)).areas), wanted, `${count} sectors from ${sector}`)
  }
  const grown = madeGpt(MADE).resized(9 * MiB)
  t.same(joined((await read(grown)).areas), [
    wanted[0],
    { offset: 10_000 * 512, length: 9 * MiB - 10_000 * 512 },
  ])
  const mbr = await read(
    madeMbr({
      sizeBytes: 64 * MiB,
      entries: [{ type: 5, start: 63, sectors: 120_000 }],
      logicals: [
        { start: 126, sectors: 5000 },
        { start: 6000, sectors: 60_000 },
      ],
    }),
  )
  t.same(joined(mbr.areas), [
    { offset: 0, length: 64 * 512 },
    { offset: 5999 * 512, length: 512 },
    { offset: 120_063 * 512, length: 64 * MiB - 120_063 * 512 },
  ])
})

/** Ranges that touch as one. */
function joined(ranges: readonly ByteRange[]): { offset: number; length: number }[] {
  const result: { offset: number; length: number }[] = []
  for (const { offset, length } of ranges) {
    const before = result.at(-1)
    if (before !== undefined && before.offset + before.length === offset) before.length += length
    else result.push({ offset, length })
  }
  return result
}

test('sectors that cannot be read are damage', async (t) => {
  const disk = madeGpt(MADE)
  const sound = await readFlawless(disk)
  for (const [sector, code] of [
    [1, 'header-damaged'],
    [5, 'entries-damaged'],
    [16_383, 'header-damaged'],
    [16_370, 'entries-damaged'],
  ] as const) {
    disk.bad.add(sector)
    const table = await read(disk)
    disk.bad.delete(sector)
    t.same(codesOf(table), [code], `sector ${sector}`)
    t.same(table.partitions, sound.partitions)
    t.ok(table.isTrustworthy)
  }
  disk.bad.add(0)
  t.same(codesOf(await read(disk)), ['unreadable'])
  const chain = madeMbr({
    sizeBytes: 64 * MiB,
    entries: [{ type: 5, start: 2048, sectors: 120_000 }],
    logicals: [{ start: 4096, sectors: 60_000 }],
  })
  chain.bad.add(2048)
  t.same(codesOf(await read(chain, 512)), ['chain-broken'])
})

test('other failures of a source are its own', async (t) => {
  const disk = madeGpt(MADE)
  const { info } = disk
  const failing = (error: Error) => ({ info, sequential: false, read: () => Promise.reject(error) })
  const changed = new PlatterError('ERR_SOURCE_CHANGED', 'It has changed.')
  await rejection(readPartitionTable(failing(changed)), 'ERR_SOURCE_CHANGED')
  await t.rejects(readPartitionTable(failing(new Error('mine'))), { message: 'mine' })
  await rejection(readPartitionTable({ ...failing(changed), sequential: true }), 'ERR_SOURCE_UNSUPPORTED')
  await rejection(
    readPartitionTable({ ...failing(changed), info: { ...info, sizeBytes: undefined } }),
    'ERR_SOURCE_UNSUPPORTED',
  )
  // A source in small pieces, and one that ends early.
  const inPieces = {
    info,
    sequential: false,
    read: (at: number, into: Uint8Array) => disk.read(at, into.subarray(0, 1000)),
  }
  t.same(await readPartitionTable(inPieces), await readPartitionTable(disk))
  t.same(codesOf(await readPartitionTable({ info, sequential: false, read: async () => 0 })), ['unreadable'])
})

test('reading can be aborted', async (t) => {
  const source = new MemorySource(new Uint8Array(MiB))
  await t.rejects(readPartitionTable(source, { signal: AbortSignal.abort() }), { name: 'AbortError' })
  t.match(await readPartitionTable(source), { kind: 'none', isTrustworthy: true })
})

test('disks that are too small for anything', async () => {
  for (let sizeBytes = 0; sizeBytes < 24_576; sizeBytes += 256) {
    const disk = new SparseDisk(sizeBytes)
    await readFlawless(disk)
    if (sizeBytes >= 512) await read(disk.write(0, mbrBytes([{ type: 0xee, start: 1, sectors: 9 }])))
    if (sizeBytes < 1024) continue
    await read(disk.write(512, madeGpt(MADE).at(512, 512)))
  }
})

test('whatever a disk holds, a table is a value', async () => {
  const random = (length: number): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: length, maxLength: length })
  const piece = fc.record({ sector: fc.nat({ max: 63 }), bytes: random(512) })
  const entry = fc.record({
    type: fc.constantFrom(0, 5, 0x0f, 0x83, 0xee),
    start: fc.oneof(fc.nat({ max: 70 }), fc.constantFrom(0, 1, 0xffffffff)),
    sectors: fc.oneof(fc.nat({ max: 70 }), fc.constantFrom(0, 0xffffffff)),
    indicator: fc.constantFrom(0, 0, 0, 0x80, 0x55),
  })
  const sector = fc.array(entry, { maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 8 }),
      fc.array(fc.record({ sector: fc.nat({ max: 63 }), entries: sector }), { maxLength: 8 }),
      sector,
      fc.constantFrom('file', 'block-device'),
      async (pieces, ebrs, mbr, kind) => {
        const disk = new SparseDisk(64 * 512, { kind })
        for (const { sector, bytes } of pieces) disk.write(sector * 512, bytes)
        for (const { sector, entries } of ebrs) disk.write(sector * 512, mbrBytes(entries))
        await read(disk.write(0, mbrBytes(mbr)))
      },
    ),
    { numRuns: 10 * RUNS },
  )
})

test('headers that say anything, with right checksums', async () => {
  const number = fc.oneof(
    fc.nat({ max: 200 }),
    fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 53 - 1, 2014, 2047, 2048),
  )
  const small = { sizeBytes: MiB }
  const header = fc.record(
    {
      entriesLba: number,
      firstUsable: number,
      lastUsable: number,
      entryCount: fc.constantFrom(0, 1, 4, 127, 128),
      entryBytes: fc.constantFrom(128, 256, 4096),
      headerBytes: fc.constantFrom(92, 93, 512),
    },
    { requiredKeys: [] },
  )
  const partition = fc.record({ first: number, last: number, number: fc.constantFrom(1, 2, 3, 4) })
  const copy = fc.tuple(header, fc.array(partition, { maxLength: 4 }))
  await fc.assert(
    fc.asyncProperty(copy, copy, fc.boolean(), async ([first, one], [second, two], trustBackup) => {
      const disk = new SparseDisk(MiB)
      const fits = ({ entryCount = 128, entryBytes = 128, entriesLba = 2 }: MadeGpt): boolean =>
        entryCount >= 4 && entriesLba * 512 + entryCount * entryBytes <= disk.info.sizeBytes
      for (const made of [
        { ...small, ...first, partitions: one, copies: ['primary'] },
        { ...small, ...second, partitions: two, copies: ['backup'] },
      ] satisfies MadeGpt[]) {
        const source = fits(made) ? madeGpt(made) : undefined
        if (source === undefined) continue
        const at = made.copies[0] === 'primary' ? 0 : 1
        disk.write((at * MiB) / 2, source.at((at * MiB) / 2, MiB / 2))
      }
      disk.write(0, madeGpt(small).at(0, 512))
      await read(disk)
      await readPartitionTable(disk, { trustBackup })
    }),
    { numRuns: 3 * RUNS },
  )
})
