import type { BlockSource, Extent, SourceCallOptions } from '@platter/core'
import type { BlockUse, FilesystemMap, VolumeExtent } from './filesystem-map.ts'
import { type ProbeOptions, probeFilesystem } from './probe-filesystem.ts'
import { volumeOf } from './volume.ts'

/**
 * What a backup reads of a volume.
 *
 * - `used`: what its filesystem uses. Free blocks are left out, and so are the pages of swap space, which mean nothing
 *   when the machine is off.
 * - `used-and-swap`: the same with the pages of swap space.
 * - `whole`: everything. The filesystem is not looked at.
 */
export type ReadPolicy = 'used' | 'used-and-swap' | 'whole'

const LEFT_OUT: Readonly<Record<ReadPolicy, readonly BlockUse[]>> = {
  used: ['free', 'swap'],
  'used-and-swap': ['free'],
  whole: [],
}

/** Options of {@link usedExtents}. */
export interface UsedExtentsOptions extends ProbeOptions {
  /** Default `used`. */
  readonly policy?: ReadPolicy
}

/** What of a source is to be read, and why the rest is not. */
export interface UsedExtents {
  readonly policy: ReadPolicy
  /** Undefined with the policy `whole`. */
  readonly map: FilesystemMap | undefined
  /** Bytes that the policy leaves out, by what they are. Some of them may be holes of the source. */
  readonly leftOut: Readonly<Record<Exclude<BlockUse, 'used'>, number>>
  /** The extents of the source, with `unused` where data is left out. Holes stay holes. */
  extents(options?: SourceCallOptions): AsyncIterable<Extent>
}

/**
 * Finds out what of a source, which is one volume without partitions, has to be read under a policy. Where the
 * filesystem does not say beyond doubt what it uses, that is all, and `map.problem` says why.
 *
 * The source must not be in use, or be a snapshot: see {@link probeFilesystem}.
 *
 * @throws ERR_INVALID_ARGUMENT when the source is a stream, and what the source throws.
 */
export async function usedExtents(
  source: BlockSource,
  options: UsedExtentsOptions = {},
): Promise<UsedExtents> {
  const { policy = 'used', ...probe } = options
  const volume = volumeOf(source)
  const map = policy === 'whole' ? undefined : await probeFilesystem(volume, probe)
  const uses = LEFT_OUT[policy]
  const bytesOf = (use: 'free' | 'swap') => (map !== undefined && uses.includes(use) ? map.bytes[use] : 0)
  return {
    policy,
    map,
    leftOut: { free: bytesOf('free'), swap: bytesOf('swap') },
    extents: (call) => withoutUnused(source.extents(call), leftOutOf(map, uses)),
  }
}

function* leftOutOf(map: FilesystemMap | undefined, uses: readonly BlockUse[]): Generator<VolumeExtent> {
  for (const extent of map?.extents() ?? []) if (uses.includes(extent.use)) yield extent
}

/** Marks the data in ascending extents that lies in ascending ranges as unused. */
async function* withoutUnused(
  extents: AsyncIterable<Extent>,
  ranges: Iterator<VolumeExtent>,
): AsyncGenerator<Extent> {
  let range = ranges.next()
  for await (const extent of extents) {
    if (extent.kind !== 'data') {
      yield extent
      continue
    }
    const end = extent.offset + extent.length
    for (let at = extent.offset; at < end; ) {
      while (!range.done && range.value.offset + range.value.length <= at) range = ranges.next()
      const { offset, length } = range.done ? { offset: end, length: 0 } : range.value
      const isUnused = offset <= at
      const to = Math.min(end, isUnused ? offset + length : offset)
      yield { offset: at, length: to - at, kind: isUnused ? 'unused' : 'data' }
      at = to
    }
  }
}
