import { coverVolume } from './common/cover-volume.ts'
import type { FilesystemModule, InnerVolumes, RecognisedFilesystem } from './common/filesystem-module.ts'
import { foreignMarks } from './common/foreign-marks.ts'
import { SurveyError } from './common/survey-error.ts'
import { VolumeReader } from './common/volume-reader.ts'
import { EXFAT } from './exfat/exfat.ts'
import { EXT } from './ext/ext.ts'
import { FAT } from './fat/fat.ts'
import type {
  BlockUse,
  FilesystemIdentity,
  FilesystemMap,
  FilesystemProblem,
  InnerVolume,
  VolumeExtent,
} from './filesystem-map.ts'
import { LUKS } from './luks/luks.ts'
import { LVM2 } from './lvm2/lvm2.ts'
import { NTFS } from './ntfs/ntfs.ts'
import { SWAP } from './swap/swap.ts'
import type { Volume } from './volume.ts'
import { XFS } from './xfs/xfs.ts'

const MODULES: readonly FilesystemModule[] = [EXT, FAT, EXFAT, NTFS, XFS, SWAP, LUKS, LVM2]

/** Options of {@link probeFilesystem}. */
export interface ProbeOptions {
  readonly signal?: AbortSignal
  /** Bytes that may be asked for to find out what is in use. Default: 64 MiB and an eighth of the volume. */
  readonly maxReadBytes?: number
  /** Time it may take, in milliseconds. Default: half an hour. */
  readonly maxMillis?: number
  /** Milliseconds of a clock that does not jump, for tests. */
  readonly now?: () => number
}

/**
 * Finds out what filesystem is on a volume and which parts of the volume it uses. The map says that something is free
 * only if the filesystem is known, was left in order and passed every check there is; otherwise all of it counts as
 * used, and the map says why. Nothing is written, and nothing read beyond the volume.
 *
 * The volume must not be in use: whether a filesystem is mounted cannot always be seen on the volume, and a map of a
 * mounted one is out of date when it is made.
 *
 * @throws what the source throws, except that ERR_SOURCE_READ leads to the problem `unreadable`.
 */
export async function probeFilesystem(volume: Volume, options: ProbeOptions = {}): Promise<FilesystemMap> {
  const reader = new VolumeReader(volume, {
    bytes: options.maxReadBytes ?? 64 * 2 ** 20 + Math.floor(volume.sizeBytes / 8),
    millis: options.maxMillis ?? 30 * 60_000,
    now: options.now ?? (() => performance.now()),
    signal: options.signal,
  })
  let identity: FilesystemIdentity | undefined
  try {
    const recognised = await recognise(reader)
    identity = recognised.identity
    const volumes: InnerVolume[] = []
    const { notUsed, label = identity.label } = await recognised.survey(reader, innerVolumes(reader, volumes))
    return usedMap({ ...identity, label }, volume.sizeBytes, notUsed, volumes)
  } catch (error) {
    if (!(error instanceof SurveyError)) throw error
    return wholeMap(identity, volume.sizeBytes, { code: error.code, message: error.message })
  }
}

async function recognise(reader: VolumeReader): Promise<RecognisedFilesystem> {
  const head = await reader.head()
  const found = MODULES.flatMap((module) => module.probe(head, reader.sizeBytes) ?? [])
  const [first] = found
  if (first === undefined) throw new SurveyError('unrecognised', 'no filesystem that is known was recognised')
  const names = [...found.map(({ identity }) => identity.type), ...foreignMarks(head)]
  if (names.length > 1) throw new SurveyError('ambiguous', `it has the marks of ${names.join(' and ')}`)
  return first
}

/** Looks at volumes within one, and notes what was found. */
function innerVolumes(outer: VolumeReader, found: InnerVolume[]): InnerVolumes {
  const keep = (name: string, sizeBytes: number, problem: FilesystemProblem) => {
    found.push({ name, sizeBytes, filesystem: undefined, problem })
  }
  return {
    keep,
    async probe(name, volume) {
      const reader = outer.within(volume)
      const { sizeBytes } = volume
      let filesystem: FilesystemIdentity | undefined
      try {
        const recognised = await recognise(reader)
        filesystem = recognised.identity
        const { notUsed } = await recognised.survey(reader, NOTHING_DEEPER)
        found.push({ name, sizeBytes, filesystem, problem: undefined })
        return notUsed
      } catch (error) {
        if (!(error instanceof SurveyError)) throw error
        found.push({ name, sizeBytes, filesystem, problem: { code: error.code, message: error.message } })
        return []
      }
    },
  }
}

const NOTHING_DEEPER: InnerVolumes = {
  keep() {},
  async probe() {
    return []
  },
}

function usedMap(
  filesystem: FilesystemIdentity,
  volumeBytes: number,
  notUsed: Iterable<VolumeExtent>,
  volumes: readonly InnerVolume[],
): FilesystemMap {
  const bytes: Record<BlockUse, number> = { used: 0, free: 0, swap: 0 }
  for (const { length, use } of coverVolume(volumeBytes, notUsed)) bytes[use] += length
  return {
    filesystem,
    state: 'used-map',
    problem: undefined,
    volumes,
    bytes,
    extents: () => coverVolume(volumeBytes, notUsed),
  }
}

function wholeMap(
  filesystem: FilesystemIdentity | undefined,
  volumeBytes: number,
  problem: FilesystemProblem,
): FilesystemMap {
  return {
    filesystem,
    state: 'read-whole',
    problem,
    volumes: [],
    bytes: { used: volumeBytes, free: 0, swap: 0 },
    extents: () => coverVolume(volumeBytes, []),
  }
}
