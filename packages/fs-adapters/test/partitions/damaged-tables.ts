// A corpus of tables that are damaged, unusual, or lie; and what is to be made of them.
import { damagedGpts } from './damaged-gpts.ts'
import { damagedMbrs } from './damaged-mbrs.ts'
import { type DamagedTable, SIZE, TWO } from './damaged-table.ts'
import { madeGpt, madeMbr } from './made-tables.ts'
import { SparseDisk } from './sparse-disk.ts'

export function damagedTables(): Readonly<Record<string, DamagedTable>> {
  return { ...damagedGpts(), ...damagedMbrs(), ...noTables() }
}

/** Disks without a table, some of which look like one. */
function noTables(): Readonly<Record<string, DamagedTable>> {
  const none = { kind: 'none', isTrustworthy: true, partitions: 0 } as const
  const label = { ...none, isTrustworthy: false, codes: ['label-unsupported'] } as const
  const blank = (): SparseDisk => new SparseDisk(SIZE)
  const fat = (disk: SparseDisk): SparseDisk => {
    const sector = disk.at(0, 512)
    Buffer.from('eb3c906d6b66732e66617400020401000200020000f8', 'hex').copy(sector, 0)
    sector.writeUInt16LE(100, 22)
    sector.writeUInt32LE(100_000, 32)
    sector.writeUInt16LE(0xaa55, 510)
    return disk.write(0, sector)
  }
  return {
    zeros: { ...none, disk: blank(), codes: [] },
    'a FAT': { ...none, disk: fat(blank()), codes: [] },
    'a FAT over a GPT': {
      ...none,
      disk: fat(madeGpt({ ...TWO, mbr: [] })),
      codes: ['protective-mbr-missing'],
    },
    'a FAT with boot code where entries would be': {
      ...none,
      disk: fat(blank().write(446, Buffer.from('NO OPERATING SYSTEM. Press a key to try again.'))),
      codes: [],
    },
    'a FAT that lists partitions': {
      ...none,
      kind: 'unusable',
      isTrustworthy: false,
      disk: fat(madeMbr({ sizeBytes: SIZE, entries: [{ type: 12, start: 2048, sectors: 100_000 }] })),
      codes: ['ambiguous'],
    },
    'an MBR whose code looks like the parameters of a FAT': {
      kind: 'mbr',
      isTrustworthy: true,
      disk: fat(madeMbr({ sizeBytes: SIZE, entries: [{ type: 12, start: 2048, sectors: 100_000 }] })).write(
        0,
        Uint8Array.of(0x33),
      ),
      codes: [],
      partitions: 1,
    },
    'a boot sector of something': {
      ...none,
      kind: 'unusable',
      isTrustworthy: false,
      disk: blank().write(446, Buffer.alloc(64, 'x')).write(510, Buffer.from('55aa', 'hex')),
      codes: ['ambiguous'],
    },
    'an Apple partition map': {
      ...label,
      disk: blank().write(0, Buffer.from('ER')).write(512, Buffer.from('PM')),
    },
    'a Sun label': { ...label, disk: blank().write(508, Buffer.from('dabe', 'hex')) },
    'an SGI label': { ...label, disk: blank().write(0, Buffer.from('0be5a941', 'hex')) },
    'a BSD label': { ...label, disk: blank().write(512, Buffer.from('57455682', 'hex')) },
    'sectors of 520 bytes': {
      ...none,
      kind: 'unusable',
      isTrustworthy: false,
      disk: madeGpt(TWO).resized(SIZE, { logicalSectorBytes: 520 }),
      codes: ['sector-size-unsupported'],
    },
  }
}
