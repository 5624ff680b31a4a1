import { crc32 } from 'node:zlib'
import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'

const SECTOR = 512
export const LABEL_SECTORS = 4
const LABEL_MAGIC = 'LABELONE'
const LABEL_TYPE = 'LVM2 001'
const METADATA_MAGIC = ' LVM2 x[5A%r0N*>'
const AREA_HEADER_BYTES = 512
/** LVM's sums begin with this, and are not inverted at the end. */
const INITIAL_SUM = 0xf597a6cf
/** A group of some ten thousand logical volumes. */
const MAX_TEXT_BYTES = 16 * 2 ** 20
/** Flags of the extension: the physical volume belongs to a group. */
const IS_USED = 1

/** Where something lies, in bytes. */
export interface Area {
  readonly offset: number
  readonly size: number
}

/** What a label and the header behind it say. */
export interface PhysicalVolume {
  /** As LVM writes it, without hyphens. */
  readonly id: string
  readonly sizeBytes: number
  /** Where extents begin; its size may be 0, which is the rest. */
  readonly data: Area
  readonly metadata: readonly Area[]
}

/** Number of the first sector with a label, undefined when there is none. */
export function labelSector(head: Fields): number | undefined {
  for (let sector = 0; sector < LABEL_SECTORS; sector++) {
    if (head.says(sector * SECTOR, LABEL_MAGIC)) return sector
  }
  return undefined
}

/**
 * The label and the header of the physical volume. Source: `struct label_header` and `struct pv_header` in LVM2's
 * lib/label/label.h and lib/format_text/layout.h.
 *
 * @throws SurveyError
 */
export function parseLabel(head: Fields, sector: number): PhysicalVolume {
  const label = head.fields(sector * SECTOR, SECTOR)
  ensure(label.says(24, LABEL_TYPE), 'unknown-feature', 'its label is of an unknown kind')
  ensure(label.u64(8) === sector, 'inconsistent', 'its label is one of another place')
  ensure(
    label.u32(16) === sumOf(label.slice(20, SECTOR - 20)),
    'bad-checksum',
    'the checksum of its label is wrong',
  )
  const start = label.u32(20)
  let at = start + 40
  const areas = (): Area[] => {
    const list: Area[] = []
    for (; label.u64(at) !== 0 || label.u64(at + 8) !== 0; at += 16) {
      list.push({ offset: label.u64(at), size: label.u64(at + 8) })
    }
    at += 16
    return list
  }
  const data = areas()
  const metadata = areas()
  const version = label.u32(at)
  ensure(version <= 2, 'unknown-feature', `its label has the unknown extension ${version}`)
  ensure((label.u32(at + 4) & ~IS_USED) === 0, 'unknown-feature', 'its label has unknown flags')
  ensure(data.length === 1, 'unknown-feature', `it has ${data.length} areas of data`)
  ensure(metadata.length > 0, 'opaque', 'what is in use stands on other physical volumes only')
  return {
    id: String.fromCharCode(...label.slice(start, 32)),
    sizeBytes: label.u64(start + 32),
    data: data[0]!,
    metadata,
  }
}

/**
 * The text of the metadata, which all areas have to have alike.
 *
 * @throws SurveyError
 */
export async function readMetadataText(reader: VolumeReader, areas: readonly Area[]): Promise<string> {
  const texts: string[] = []
  for (const area of areas) texts.push(await readText(reader, area))
  const isSame = texts.every((text) => text === texts[0])
  ensure(isSame, 'inconsistent', 'the copies of its metadata are not the same')
  return texts[0]!
}

/** Source: `struct mda_header` and `struct raw_locn` in LVM2's lib/format_text/layout.h. */
async function readText(reader: VolumeReader, area: Area): Promise<string> {
  const header = await reader.fields(area.offset, AREA_HEADER_BYTES)
  ensure(header.says(4, METADATA_MAGIC), 'inconsistent', 'an area of its metadata has no header')
  const isSound = header.u32(0) === sumOf(header.slice(4, AREA_HEADER_BYTES - 4))
  ensure(isSound, 'bad-checksum', 'the checksum of an area of its metadata is wrong')
  ensure(header.u32(20) === 1, 'unknown-feature', `its metadata have the unknown version ${header.u32(20)}`)
  const isHere = header.u64(24) === area.offset && header.u64(32) === area.size
  ensure(isHere, 'inconsistent', 'an area of its metadata is one of another place')
  const [offset, size] = [header.u64(40), header.u64(48)]
  ensure(header.u32(60) === 0, 'opaque', 'an area of its metadata is one that is not to be heeded')
  ensure(offset !== 0, 'opaque', 'it belongs to no group of volumes')
  ensure(
    header.u64(64) === 0 && header.u64(72) === 0,
    'not-clean',
    'a change of its metadata was not finished',
  )
  const isWithin = offset >= AREA_HEADER_BYTES && offset < area.size && size <= area.size - AREA_HEADER_BYTES
  ensure(isWithin && size > 0, 'out-of-range', `a text of ${size} bytes does not lie in its area`)
  ensure(size <= MAX_TEXT_BYTES, 'too-costly', `its metadata have ${size} bytes`)
  // The text goes round to the beginning of the area.
  const first = Math.min(size, area.size - offset)
  const text = Buffer.concat([
    await readAll(reader, area.offset + offset, first),
    await readAll(reader, area.offset + AREA_HEADER_BYTES, size - first),
  ])
  ensure(header.u32(56) === sumOf(text), 'bad-checksum', 'the checksum of its metadata is wrong')
  return text.toString('utf8').replace(/\0+$/, '')
}

async function readAll(reader: VolumeReader, offset: number, length: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < length; at += PIECE_BYTES) {
    pieces.push(await reader.bytes(offset + at, Math.min(PIECE_BYTES, length - at)))
  }
  return Buffer.concat(pieces)
}

function sumOf(bytes: Uint8Array): number {
  return (crc32(bytes, ~INITIAL_SUM >>> 0) ^ 0xffffffff) >>> 0
}
