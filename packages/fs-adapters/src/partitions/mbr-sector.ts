import { viewOf } from './decoding.ts'

// The MBR has no standard of its own; UEFI 2.10, section 5.2, describes what all systems understand.

/** One of the four entries of an MBR or EBR. Start and size are in sectors. */
export interface MbrEntry {
  /** 0x80 active, 0 not, anything else is no entry. */
  readonly indicator: number
  readonly type: number
  readonly start: number
  readonly sectors: number
}

/** What stands in a sector of the form of an MBR. */
export interface MbrSector {
  /** Whether it ends with 55 AA; without that, the entries mean nothing. */
  readonly isSigned: boolean
  readonly diskSignature: string
  readonly entries: readonly MbrEntry[]
}

export const PROTECTIVE_TYPE = 0xee
const EXTENDED_TYPES: readonly number[] = [0x05, 0x0f, 0x85]

/** Where the disk signature stands. */
export const SIGNATURE_AT = 440
const ENTRIES_AT: readonly number[] = [446, 462, 478, 494]
const FIRST_CHS = 1
const TYPE = 4
const LAST_CHS = 5
const START = 8
const SECTORS = 12

export function decodeMbrSector(bytes: Uint8Array): MbrSector {
  const view = viewOf(bytes)
  const entries = ENTRIES_AT.map((at) => ({
    indicator: view.getUint8(at),
    type: view.getUint8(at + TYPE),
    start: view.getUint32(at + START, true),
    sectors: view.getUint32(at + SECTORS, true),
  }))
  return {
    isSigned: view.getUint16(510, true) === 0xaa55,
    diskSignature: view.getUint32(SIGNATURE_AT, true).toString(16).padStart(8, '0'),
    entries,
  }
}

export function isExtended({ type }: MbrEntry): boolean {
  return EXTENDED_TYPES.includes(type)
}

/** Gives entry `index` of a sector another range, and the addresses by cylinder, head and sector that go with it. */
export function setRange(bytes: Uint8Array, index: number, start: number, sectors: number): void {
  const at = ENTRIES_AT[index]!
  const view = viewOf(bytes)
  bytes.set(chsOf(start), at + FIRST_CHS)
  bytes.set(chsOf(start + sectors - 1), at + LAST_CHS)
  view.setUint32(at + START, start, true)
  view.setUint32(at + SECTORS, sectors, true)
}

/** Gives the protective entry at `index` another size. Its end as CHS is what UEFI wants where it has none. */
export function setProtectiveSize(bytes: Uint8Array, index: number, sectors: number): void {
  const at = ENTRIES_AT[index]!
  bytes.fill(0xff, at + LAST_CHS, at + LAST_CHS + 3)
  viewOf(bytes).setUint32(at + SECTORS, sectors, true)
}

const HEADS = 255
const SECTORS_A_TRACK = 63
const MAX_CYLINDER = 1023

/** Cylinder, head and sector in the geometry that all systems assume now; the last one for all beyond it. */
function chsOf(lba: number): readonly number[] {
  const cylinder = Math.floor(lba / (HEADS * SECTORS_A_TRACK))
  if (cylinder > MAX_CYLINDER) return [0xfe, 0xff, 0xff]
  const head = Math.floor(lba / SECTORS_A_TRACK) % HEADS
  const sector = (lba % SECTORS_A_TRACK) + 1
  return [head, sector | ((cylinder >> 8) << 6), cylinder & 0xff]
}
