import type { Fields } from '../common/fields.ts'
import type {
  FilesystemModule,
  InnerVolumes,
  RecognisedFilesystem,
  Survey,
} from '../common/filesystem-module.ts'
import { ensure } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import type { VolumeExtent } from '../filesystem-map.ts'
import type { Volume } from '../volume.ts'
import { labelSector, type PhysicalVolume, parseLabel, readMetadataText } from './physical-volume.ts'
import { type AllocatedRun, type LogicalVolume, parseVolumeGroup, type VolumeGroup } from './volume-group.ts'

/** A volume in more pieces is kept whole: for each, the map of all of it would be gone through. */
const MAX_PIECES = 256

/**
 * Physical volumes of LVM2. Extents of no logical volume are free, and what is free within those that are linear and lie
 * on this physical volume. Each part names its sources.
 */
export const LVM2: FilesystemModule = { probe }

function probe(head: Fields, volumeBytes: number): RecognisedFilesystem | undefined {
  const sector = labelSector(head)
  if (sector === undefined) return undefined
  return {
    identity: {
      type: 'lvm2',
      label: undefined,
      uuid: uuidIn(head, sector),
      blockBytes: 512,
      sizeBytes: volumeBytes,
    },
    survey: (reader, inner) => survey(reader, inner, parseLabel(head, sector)),
  }
}

/** As LVM writes it: 32 letters and digits in groups. */
function uuidIn(head: Fields, sector: number): string | undefined {
  const id = head.slice(sector * 512, Math.min(512, head.length - sector * 512)).subarray(32, 64)
  const [, ...groups] = /^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/.exec(String.fromCharCode(...id)) ?? []
  return groups.length === 0 ? undefined : groups.join('-')
}

async function survey(reader: VolumeReader, inner: InnerVolumes, physical: PhysicalVolume): Promise<Survey> {
  ensure(
    physical.sizeBytes <= reader.sizeBytes,
    'out-of-range',
    `the physical volume has ${physical.sizeBytes} bytes, its volume ${reader.sizeBytes}`,
  )
  const text = await readMetadataText(reader, physical.metadata)
  const group = parseVolumeGroup(text, physical)
  for (const { offset, size } of physical.metadata) {
    const isOutside =
      offset + size <= group.extentsAt || offset >= group.extentsAt + group.extentCount * group.extentBytes
    ensure(isOutside, 'inconsistent', 'its metadata lie among its extents')
  }
  const unused = new Map<LogicalVolume, Iterable<VolumeExtent>>()
  for (const volume of group.volumes) {
    const runs = group.runs.filter((run) => run.volume === volume)
    const sizeBytes = volume.extentCount * group.extentBytes
    const problem = volume.notPlain ?? (runs.length > MAX_PIECES ? 'it is in too many pieces' : undefined)
    if (problem !== undefined) inner.keep(volume.name, sizeBytes, { code: 'opaque', message: problem })
    else unused.set(volume, await inner.probe(volume.name, linearVolume(reader, group, runs, sizeBytes)))
  }
  return { notUsed: { [Symbol.iterator]: () => notUsed(group, unused) } }
}

/** A logical volume that lies on the physical one in pieces. */
function linearVolume(
  reader: VolumeReader,
  { extentBytes, extentsAt }: VolumeGroup,
  runs: readonly AllocatedRun[],
  sizeBytes: number,
): Volume {
  return {
    sizeBytes,
    async read(offset, into) {
      const extent = Math.floor(offset / extentBytes)
      const run = runs.find(({ volumeStart, count }) => extent >= volumeStart && extent < volumeStart + count)
      if (run === undefined) return 0
      const within = offset - run.volumeStart * extentBytes
      const length = Math.min(into.length, run.count * extentBytes - within, PIECE_BYTES)
      into.set(await reader.bytes(extentsAt + run.start * extentBytes + within, length))
      return length
    },
  }
}

function* notUsed(
  { extentBytes, extentsAt, extentCount, runs }: VolumeGroup,
  unused: ReadonlyMap<LogicalVolume, Iterable<VolumeExtent>>,
): Generator<VolumeExtent> {
  const gap = (start: number, end: number): VolumeExtent[] =>
    end > start
      ? [{ offset: extentsAt + start * extentBytes, length: (end - start) * extentBytes, use: 'free' }]
      : []
  let end = 0
  for (const { start, count, volume, volumeStart } of runs) {
    yield* gap(end, start)
    end = start + count
    const [from, to] = [volumeStart * extentBytes, (volumeStart + count) * extentBytes]
    for (const { offset, length, use } of unused.get(volume) ?? []) {
      const [first, last] = [Math.max(from, offset), Math.min(to, offset + length)]
      if (offset >= to) break
      if (last > first)
        yield { offset: extentsAt + start * extentBytes + first - from, length: last - first, use }
    }
  }
  yield* gap(end, extentCount)
}
