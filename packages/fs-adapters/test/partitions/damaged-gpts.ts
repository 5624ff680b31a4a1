import { type DamagedTable, LAST, MiB, SIZE, TWO } from './damaged-table.ts'
import { guidBytes, type MadeGpt, madeGpt, mbrBytes, resealed } from './made-tables.ts'
import { SparseDisk } from './sparse-disk.ts'

const MAX_LBA = 2n ** 64n - 1n

/** A GPT in whose headers something else stands, with the right checksum all the same. */
function forged(change: (header: Buffer, lba: number) => void, gpt: MadeGpt = TWO): SparseDisk {
  const disk = madeGpt(gpt)
  for (const lba of [1, LAST]) disk.write(lba * 512, forgedHeader(disk, lba, change))
  return disk
}

function forgedHeader(disk: SparseDisk, lba: number, change: (header: Buffer, lba: number) => void): Buffer {
  const header = disk.at(lba * 512, 512)
  change(header, lba)
  const length = header.readUInt32LE(12)
  resealed(header.subarray(0, length))
  return header
}

/** GPTs that are damaged, unusual, or lie. */
export function damagedGpts(): Readonly<Record<string, DamagedTable>> {
  const zeros = (disk: SparseDisk, lba: number, sectors = 1): SparseDisk =>
    disk.write(lba * 512, new Uint8Array(512 * sectors))
  const trusted = { kind: 'gpt', isTrustworthy: true } as const
  const doubtful = { kind: 'gpt', isTrustworthy: false } as const
  const useless = { kind: 'unusable', isTrustworthy: false, partitions: 0 } as const
  const refused = { ...useless, codes: ['gpt-damaged', 'header-damaged', 'header-damaged'] } as const
  const other = madeGpt({ ...TWO, diskGuid: '99999999-89ab-4def-8123-456789abcdef' })
  const partitions = (...all: readonly (readonly [number, number])[]): MadeGpt => ({
    ...TWO,
    partitions: all.map(([first, last], i) => ({ number: i + 1, first, last })),
  })
  const longHead = madeGpt({ ...TWO, sectorBytes: 4096, partitions: [{ number: 1, first: 256, last: 300 }] })
  return {
    sound: { ...trusted, disk: madeGpt(TWO), codes: [] },
    'no primary header': { ...trusted, disk: zeros(madeGpt(TWO), 1), codes: ['header-missing'] },
    'no primary entries': { ...trusted, disk: zeros(madeGpt(TWO), 2, 32), codes: ['entries-damaged'] },
    'no primary at all': {
      ...doubtful,
      disk: zeros(madeGpt(TWO), 1, 33),
      codes: ['header-missing', 'backup-unconfirmed'],
    },
    'an empty table without a primary': {
      ...doubtful,
      disk: zeros(madeGpt({ sizeBytes: SIZE }), 1),
      codes: ['header-missing', 'backup-unconfirmed'],
      partitions: 0,
    },
    'no backup header': { ...trusted, disk: zeros(madeGpt(TWO), LAST), codes: ['header-missing'] },
    'no backup entries': { ...trusted, disk: zeros(madeGpt(TWO), LAST - 32, 32), codes: ['entries-damaged'] },
    'no copy': { ...useless, disk: zeros(zeros(madeGpt(TWO), LAST), 1), codes: ['gpt-damaged'] },
    'both headers damaged': {
      ...refused,
      disk: madeGpt(TWO)
        .write(520, Uint8Array.of(1))
        .write(LAST * 512, other.at(512, 512)),
    },
    'the backup of another table': {
      ...doubtful,
      disk: madeGpt(TWO).write(LAST * 512, other.at(LAST * 512, 512)),
      codes: ['copies-disagree'],
    },
    'the backup of another table, and no primary header': {
      ...doubtful,
      disk: zeros(madeGpt(partitions([2048, 4095], [5000, 9999])), 1).write(
        (LAST - 32) * 512,
        other.at((LAST - 32) * 512, 33 * 512),
      ),
      codes: ['header-missing', 'backup-unconfirmed'],
    },
    'a disk that has grown': {
      ...trusted,
      disk: madeGpt(TWO).resized(2 * SIZE),
      codes: ['backup-not-at-end', 'protective-mbr-unusual'],
    },
    'a disk that has grown, and lost its primary header': {
      ...useless,
      disk: zeros(madeGpt(TWO), 1).resized(2 * SIZE),
      codes: ['gpt-damaged'],
    },
    'a disk that has grown, and lost its primary entries': {
      ...trusted,
      disk: zeros(madeGpt(TWO), 2, 32).resized(2 * SIZE),
      codes: ['entries-damaged', 'protective-mbr-unusual'],
    },
    'a disk that has shrunk': {
      ...doubtful,
      disk: madeGpt(TWO).resized(SIZE / 2),
      codes: ['disk-smaller', 'header-missing', 'protective-mbr-unusual'],
    },
    'a disk that ends within a partition': {
      ...doubtful,
      disk: madeGpt(TWO).resized(3 * MiB),
      codes: ['disk-smaller', 'header-missing', 'beyond-end', 'protective-mbr-unusual'],
    },
    'overlapping partitions': {
      ...doubtful,
      disk: madeGpt(partitions([2048, 4096], [4096, 9999])),
      codes: ['overlap'],
    },
    'one partition in the other': {
      ...doubtful,
      disk: madeGpt(partitions([2048, 9999], [3000, 3100])),
      codes: ['overlap'],
    },
    'a partition over the table': {
      ...doubtful,
      disk: madeGpt(partitions([20, 4095], [4096, 9999])),
      codes: ['overlap', 'usable-range'],
    },
    'a partition over the backup': {
      ...doubtful,
      disk: madeGpt(partitions([2048, 4095], [4096, LAST - 32])),
      codes: ['overlap', 'usable-range'],
    },
    'a partition that ends before it begins': {
      ...doubtful,
      disk: madeGpt(partitions([2048, 4095], [9999, 9997])),
      codes: ['partition-invalid'],
      partitions: 1,
    },
    'a partition that nothing can address': {
      ...doubtful,
      disk: madeGpt({ ...TWO, partitions: [{ number: 1, first: 2048, last: 2 ** 53 }] }),
      codes: ['partition-invalid'],
      partitions: 0,
    },
    'a partition beyond the end': {
      ...doubtful,
      disk: madeGpt(partitions([2048, 4095], [LAST + 1, LAST + 100])),
      codes: ['beyond-end', 'usable-range'],
    },
    'a GUID twice': {
      ...trusted,
      disk: madeGpt({
        ...TWO,
        partitions: TWO.partitions!.map((one) => ({ ...one, guid: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000001' })),
      }),
      codes: ['duplicate-guid'],
    },
    'entries of 256 bytes': { ...trusted, disk: madeGpt({ ...TWO, entryBytes: 256 }), codes: ['entry-size'] },
    'entries that are not whole sectors': { ...trusted, disk: madeGpt({ ...TWO, entryCount: 6 }), codes: [] },
    'a header of 512 bytes': { ...trusted, disk: madeGpt({ ...TWO, headerBytes: 512 }), codes: [] },
    '32768 entries': {
      ...trusted,
      disk: madeGpt({
        ...TWO,
        entryCount: 32_768,
        partitions: [{ number: 32_768, first: 9000, last: 9999 }],
      }),
      codes: [],
      partitions: 1,
    },
    '32769 entries': { ...refused, disk: forged((header) => header.writeUInt32LE(32_769, 80)) },
    '2^32 - 1 entries': { ...refused, disk: forged((header) => header.writeUInt32LE(0xffffffff, 80)) },
    'no entries': { ...refused, disk: forged((header) => header.writeUInt32LE(0, 80)) },
    'entries of 0 bytes': { ...refused, disk: forged((header) => header.writeUInt32LE(0, 84)) },
    'entries of 64 bytes': { ...refused, disk: forged((header) => header.writeUInt32LE(64, 84)) },
    'entries of 192 bytes': { ...refused, disk: forged((header) => header.writeUInt32LE(192, 84)) },
    'a header of 91 bytes': { ...refused, disk: forged((header) => header.writeUInt32LE(91, 12)) },
    'a header of 513 bytes': { ...refused, disk: forged((header) => header.writeUInt32LE(513, 12)) },
    'a header of 4 GiB': { ...refused, disk: forged((header) => header.writeUInt32LE(0xffffffff, 12)) },
    'another revision': { ...refused, disk: forged((header) => header.writeUInt32LE(0x20000, 8)) },
    'a header of another sector': { ...refused, disk: forged((header) => header.writeBigUInt64LE(7n, 24)) },
    'entries in the header': {
      ...refused,
      disk: forged((header, lba) => header.writeBigUInt64LE(BigInt(lba), 72)),
    },
    'entries in the MBR': { ...refused, disk: forged((header) => header.writeBigUInt64LE(0n, 72)) },
    'entries beyond the end': {
      ...refused,
      disk: forged((header) => header.writeBigUInt64LE(BigInt(LAST), 72)),
    },
    'entries at 2^64 - 1': { ...refused, disk: forged((header) => header.writeBigUInt64LE(MAX_LBA, 72)) },
    'a usable range that ends before it begins': {
      ...refused,
      disk: forged((header) => header.writeBigUInt64LE(33n, 48)),
    },
    'a usable range over the table': {
      ...doubtful,
      disk: forged((header) => header.writeBigUInt64LE(2n, 40)),
      codes: ['usable-range'],
    },
    'a usable range over the backup': {
      ...doubtful,
      disk: forged((header) => header.writeBigUInt64LE(BigInt(LAST), 48)),
      codes: ['usable-range'],
    },
    'a usable range up to 2^64 - 1': {
      ...doubtful,
      disk: forged((header) => header.writeBigUInt64LE(MAX_LBA, 48)),
      codes: ['disk-smaller', 'usable-range'],
    },
    'a backup at 2^64 - 1': {
      ...doubtful,
      disk: forged((header, lba) => lba === 1 && header.writeBigUInt64LE(MAX_LBA, 32)),
      codes: ['disk-smaller', 'copies-disagree'],
    },
    'a backup that is the primary': {
      ...trusted,
      disk: forged((header, lba) => lba === 1 && header.writeBigUInt64LE(1n, 32)),
      codes: ['backup-not-at-end', 'copies-disagree'],
    },
    'a backup that belongs to another primary': {
      ...doubtful,
      disk: forged((header, lba) => lba === LAST && header.writeBigUInt64LE(2n, 32)),
      codes: ['copies-disagree'],
    },
    'no protective MBR': { ...useless, disk: zeros(madeGpt(TWO), 0), codes: ['protective-mbr-missing'] },
    'an MBR over a GPT': {
      ...useless,
      disk: madeGpt({ ...TWO, mbr: [{ type: 0x83, start: 2048, sectors: 100_000 }] }),
      codes: ['protective-mbr-missing'],
    },
    'a protective entry that begins elsewhere': {
      ...doubtful,
      disk: madeGpt({ ...TWO, mbr: [{ type: 0xee, start: 0, sectors: LAST }] }),
      codes: ['protective-mbr-unusual'],
    },
    'a protective entry of another size': {
      ...trusted,
      disk: madeGpt({ ...TWO, mbr: [{ type: 0xee, start: 1, sectors: 100 }] }),
      codes: ['protective-mbr-unusual'],
    },
    'a protective entry as long as can be': {
      ...trusted,
      disk: madeGpt({ ...TWO, mbr: [{ type: 0xee, start: 1, sectors: 0xffffffff }] }),
      codes: [],
    },
    'a hybrid': {
      ...trusted,
      kind: 'hybrid',
      disk: madeGpt({
        ...TWO,
        mbr: [
          { type: 0xee, start: 1, sectors: 2047 },
          { type: 0x83, start: 2048, sectors: 2048 },
        ],
      }),
      codes: [],
    },
    'a hybrid that lists something else': {
      ...doubtful,
      kind: 'hybrid',
      disk: madeGpt({
        ...TWO,
        mbr: [
          { type: 0xee, start: 1, sectors: 2047 },
          { type: 0x83, start: 2048, sectors: 2049 },
        ],
      }),
      codes: ['hybrid-disagrees'],
    },
    'a protective MBR and nothing else': {
      ...useless,
      disk: new SparseDisk(SIZE).write(0, mbrBytes([{ type: 0xee, start: 1, sectors: LAST }], 0)),
      codes: ['gpt-damaged'],
    },
    'sectors of 4096 bytes in a file': {
      ...trusted,
      disk: longHead,
      codes: ['sector-size-differs'],
      partitions: 1,
    },
    'sectors of 4096 bytes on a device that has others': {
      ...useless,
      disk: longHead.resized(SIZE, { kind: 'block-device' }),
      codes: ['sector-size-differs'],
    },
    'two tables for two sizes of sectors': {
      ...useless,
      disk: madeGpt({ ...TWO, entriesLba: 60 }).write(4096, longHead.at(4096, 5 * 4096)),
      codes: ['ambiguous'],
    },
    'two tables for two sizes of sectors on a device': {
      ...trusted,
      disk: madeGpt({ ...TWO, entriesLba: 60 })
        .write(4096, longHead.at(4096, 5 * 4096))
        .resized(SIZE, { kind: 'block-device' }),
      codes: [],
    },
    'a remnant at the end': {
      kind: 'none',
      isTrustworthy: true,
      disk: zeros(madeGpt(TWO), 0, 34),
      codes: ['stale-gpt'],
      partitions: 0,
    },
    'GUID bytes in the wrong order are another type': {
      ...trusted,
      disk: madeGpt({
        ...TWO,
        partitions: [
          {
            number: 5,
            first: 2048,
            last: 2048,
            type: guidBytes('28732ac1-1ff8-d211-ba4b-00a0c93ec93b').toString('hex'),
          },
        ],
      }),
      codes: [],
      partitions: 1,
    },
  }
}
