import { type DamagedTable, SIZE, TWO } from './damaged-table.ts'
import { madeGpt, madeMbr, mbrBytes } from './made-tables.ts'
import type { SparseDisk } from './sparse-disk.ts'

/** MBRs that are damaged, unusual, or lie. */
export function damagedMbrs(): Readonly<Record<string, DamagedTable>> {
  const trusted = { kind: 'mbr', isTrustworthy: true } as const
  const doubtful = { kind: 'mbr', isTrustworthy: false } as const
  const useless = { kind: 'unusable', isTrustworthy: false, partitions: 0 } as const
  const one = { type: 0x83, start: 2048, sectors: 30_000 }
  const big = { type: 0x83, start: 60_000, sectors: 60_000 }
  const box = { type: 5, start: 32_768, sectors: 65_536 }
  const logicals = [
    { start: 34_816, sectors: 2048 },
    { start: 40_000, sectors: 100 },
    { start: 50_000, sectors: 40_000 },
  ]
  const chain = (patch: (disk: SparseDisk) => unknown = () => {}, gap = 1): SparseDisk => {
    const disk = madeMbr({ sizeBytes: SIZE, entries: [one, box], logicals, gap })
    patch(disk)
    return disk
  }
  const link = (at: number, start: number, sectors = 100): ((disk: SparseDisk) => unknown) => {
    return (disk) =>
      disk.write(
        at * 512,
        mbrBytes(
          [
            { type: 0x83, start: 1, sectors: 10 },
            { type: 5, start, sectors },
          ],
          0,
        ),
      )
  }
  return {
    'an MBR': { ...trusted, disk: madeMbr({ sizeBytes: SIZE, entries: [one, big] }), codes: [] },
    'logical partitions': { ...trusted, disk: chain(), codes: [], partitions: 5 },
    'a chain that comes back': {
      ...doubtful,
      disk: chain(link(39_999, 0)),
      codes: ['chain-broken'],
      partitions: 4,
    },
    'a chain that comes back to itself': {
      ...doubtful,
      disk: chain(link(32_768, 0)),
      codes: ['chain-broken'],
      partitions: 3,
    },
    'a chain that leaves its container': {
      ...doubtful,
      disk: chain((disk) => {
        link(39_999, 65_536)(disk)
        disk.write(98_304 * 512, mbrBytes([{ type: 0x83, start: 1, sectors: 10 }]))
      }),
      codes: ['chain-broken'],
      partitions: 4,
    },
    'a chain that leaves the disk': {
      ...doubtful,
      disk: madeMbr({ sizeBytes: SIZE, entries: [one, { ...box, sectors: 0xffff_0000 }] }).write(
        32_768 * 512,
        mbrBytes(
          [
            { type: 0x83, start: 1, sectors: 10 },
            { type: 5, start: 0xfffe_0000, sectors: 1 },
          ],
          0,
        ),
      ),
      codes: ['chain-broken', 'beyond-end'],
      partitions: 3,
    },
    'a chain into zeros': {
      ...doubtful,
      disk: chain(link(39_999, 50_000)),
      codes: ['chain-broken'],
      partitions: 4,
    },
    'a chain that forks': {
      ...doubtful,
      disk: chain((disk) =>
        disk.write(
          39_999 * 512,
          mbrBytes(
            [
              { type: 0x83, start: 1, sectors: 10 },
              { type: 5, start: 49_999 - 32_768, sectors: 9 },
              { type: 5, start: 9000, sectors: 9 },
            ],
            0,
          ),
        ),
      ),
      codes: ['chain-broken'],
      partitions: 5,
    },
    'a chain without an end': {
      ...doubtful,
      disk: (() => {
        const disk = madeMbr({ sizeBytes: SIZE, entries: [one, box] })
        for (let i = 0; i < 1000; i++) link(32_768 + 32 * i, 32 * (i + 1))(disk)
        return disk
      })(),
      codes: ['chain-broken'],
      partitions: 258,
    },
    'two extended partitions': {
      ...trusted,
      disk: madeMbr({
        sizeBytes: SIZE,
        entries: [one, { ...box, sectors: 10_000 }, { type: 0x0f, start: 50_000, sectors: 60_000 }],
        logicals: logicals.slice(0, 2),
      }).write(50_000 * 512, mbrBytes([{ type: 0x82, start: 63, sectors: 500 }], 0)),
      codes: [],
      partitions: 6,
    },
    'a logical partition that leaves its container': {
      ...doubtful,
      disk: madeMbr({ sizeBytes: SIZE, entries: [one, box], logicals: [{ start: 34_816, sectors: 64_000 }] }),
      codes: ['overlap'],
      partitions: 3,
    },
    'logical partitions that overlap': {
      ...doubtful,
      disk: madeMbr({
        sizeBytes: SIZE,
        entries: [one, box],
        logicals: [
          { start: 34_816, sectors: 6000 },
          { start: 40_000, sectors: 60 },
        ],
      }),
      codes: ['overlap', 'overlap'],
      partitions: 4,
    },
    'garbage in the third entry of an EBR': {
      ...trusted,
      disk: chain((disk) =>
        disk.write(
          49_999 * 512,
          mbrBytes(
            [
              { type: 0x83, start: 1, sectors: 40_000 },
              undefined,
              { type: 0x77, start: 5, sectors: 0xfffffff0 },
            ],
            0,
          ),
        ),
      ),
      codes: [],
      partitions: 5,
    },
    'partitions that overlap': {
      ...doubtful,
      disk: madeMbr({ sizeBytes: SIZE, entries: [{ ...one, sectors: 60_000 }, big] }),
      codes: ['overlap'],
    },
    'a partition over the MBR': {
      ...doubtful,
      disk: madeMbr({ sizeBytes: SIZE, entries: [{ ...one, start: 0 }, big] }),
      codes: ['overlap'],
    },
    'a partition beyond the end': {
      ...doubtful,
      disk: madeMbr({ sizeBytes: SIZE, entries: [one, { ...big, sectors: 0xffffffff }] }),
      codes: ['beyond-end'],
    },
    'an entry without a type': {
      ...doubtful,
      disk: madeMbr({ sizeBytes: SIZE, entries: [{ ...one, type: 0 }, big] }),
      codes: ['partition-invalid'],
    },
    'an MBR that is not signed': {
      ...useless,
      disk: madeMbr({ sizeBytes: SIZE, entries: [one, big] }).write(511, Uint8Array.of(0)),
      codes: ['ambiguous'],
    },
    'a boot indicator that is none': {
      ...useless,
      disk: madeMbr({ sizeBytes: SIZE, entries: [{ ...one, indicator: 1 }] }),
      codes: ['ambiguous'],
    },
    'an MBR for sectors of any size': {
      ...doubtful,
      disk: madeMbr({ sizeBytes: SIZE, entries: [{ type: 7, start: 2048, sectors: 2048 }] }),
      codes: ['sector-size-ambiguous'],
      partitions: 1,
    },
    'an MBR for sectors of any size on a device': {
      ...trusted,
      disk: madeMbr({ sizeBytes: SIZE, entries: [{ type: 7, start: 2048, sectors: 2048 }] }).resized(SIZE, {
        kind: 'block-device',
      }),
      codes: [],
      partitions: 1,
    },
    'an empty MBR': { ...trusted, disk: madeMbr({ sizeBytes: SIZE, entries: [] }), codes: [], partitions: 0 },
    // Its entries were zeros once, and are not now.
    'an MBR and a damaged first copy of a GPT': {
      ...trusted,
      disk: madeGpt({ sizeBytes: SIZE, copies: ['primary'], mbr: [one, big] }).write(
        10_000,
        Buffer.from('boot code'),
      ),
      codes: [],
    },
    'an MBR and the remnant of a GPT': {
      ...trusted,
      disk: madeGpt({ ...TWO, copies: ['backup'], mbr: [one, big] }),
      codes: ['stale-gpt'],
    },
  }
}
