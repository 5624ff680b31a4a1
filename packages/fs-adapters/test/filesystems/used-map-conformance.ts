// What every filesystem module has to hold, shown on images that the filesystem's own tools made and can check.
import { closeSync, openSync, readFileSync, readSync, rmSync, statSync, writeSync } from 'node:fs'
import {
  type BlockUse,
  type FilesystemMap,
  type ProbeOptions,
  probeFilesystem,
  type VolumeExtent,
} from '@platter/fs-adapters'
import { emptyImage, ImageVolume, MiB, missing, run } from './images.ts'

/** What the conformance test needs to know of a filesystem. */
export interface FilesystemTools {
  /** Throws unless the filesystem's own check, which must not write, finds it in order. */
  check(image: string): void
  /** Hashes of all files in it by path, found without writing to the image. `scratch` is a path that may be used. */
  hashes(image: string, scratch: string): Record<string, string>
  /** Program of partclone for it. */
  readonly partclone?: string
  /** Where what partclone looks at ends, if that is not the end of the filesystem. */
  partcloneEnd?(image: string): number
  /** Whether partclone leaves out what it should not, so that its map only has to be a part of ours. */
  readonly partcloneCopiesLess?: boolean
}

/**
 * Takes the map of an image and shows that what is used is all that is needed: copies in which everything else is
 * garbage, or zeros, pass the filesystem's own check and have the same files; and partclone, where it is there, would
 * copy the same. Throws what does not hold, and returns the map.
 */
export async function assertMapHolds(
  image: string,
  tools: FilesystemTools,
  {
    leaveOut = ['free'],
    withPartclone = true,
  }: { readonly leaveOut?: readonly BlockUse[]; readonly withPartclone?: boolean } = {},
): Promise<FilesystemMap> {
  const map = await mapOf(image)
  if (map.state !== 'used-map') throw new Error(`${image} is read whole: ${map.problem?.message}`)
  const copy = `${image}.copy`
  const scratch = `${image}.scratch`
  const expected = tools.hashes(image, scratch)
  for (const filler of [0xa5, 0] as const) {
    copyUsed(image, copy, map, filler, leaveOut)
    tools.check(copy)
    const found = tools.hashes(copy, scratch)
    const differ = Object.keys({ ...expected, ...found }).filter((path) => expected[path] !== found[path])
    if (differ.length > 0)
      throw new Error(`files differ with ${filler} in unused places: ${differ.join(', ')}`)
    rmSync(copy)
  }
  if (withPartclone && tools.partclone !== undefined && missing(tools.partclone) === false) {
    const extents = partcloneExtents(tools.partclone, image)
    const end = tools.partcloneEnd?.(image) ?? map.filesystem!.sizeBytes
    if (tools.partcloneCopiesLess === true) assertSuperset(map.extents(), extents)
    else assertSameAsPartclone(map, extents, end)
  }
  return map
}

/** The map of an image, after a look at whether its extents cover the volume as they must. */
export async function mapOf(image: string, options: ProbeOptions = {}): Promise<FilesystemMap> {
  using volume = new ImageVolume(image)
  const map = await probeFilesystem(volume, options)
  assertCoversVolume(map, volume.sizeBytes)
  return map
}

/** Throws unless the extents cover the volume in ascending order without gap, and `bytes` says what they add up to. */
export function assertCoversVolume(map: FilesystemMap, volumeBytes: number): void {
  const bytes: Record<BlockUse, number> = { used: 0, free: 0, swap: 0 }
  let end = 0
  let before = ''
  for (const { offset, length, use } of map.extents()) {
    if (offset !== end || !(length > 0) || use === before) throw new Error(`extent of ${use} at ${offset}`)
    bytes[use] += length
    end = offset + length
    before = use
  }
  if (end !== volumeBytes) throw new Error(`extents end at ${end} of ${volumeBytes}`)
  for (const use of ['used', 'free', 'swap'] as const) {
    if (map.bytes[use] !== bytes[use]) throw new Error(`${map.bytes[use]} bytes ${use}, not ${bytes[use]}`)
  }
  if ((map.state === 'read-whole') !== (map.problem !== undefined)) throw new Error('state without reason')
  if (map.state === 'read-whole' && bytes.used !== volumeBytes) throw new Error('not all is read')
}

/** Throws unless all that `of` has as used is used in `extents` too; both ascend. */
export function assertSuperset(extents: Iterable<VolumeExtent>, of: readonly VolumeExtent[]): void {
  const free = [...extents].filter(({ use }) => use !== 'used')
  let next = 0
  for (const { offset, length } of of.filter(({ use }) => use === 'used')) {
    while (next < free.length && free[next]!.offset + free[next]!.length <= offset) next++
    const { offset: at = Infinity } = free[next] ?? {}
    if (at < offset + length) throw new Error(`byte ${Math.max(at, offset)} is in use and left out`)
  }
}

/** Ascending free ranges as text, `first-last` in units of `unitBytes`, to compare with what a tool says. */
export function freeRanges(map: FilesystemMap, unitBytes: number, baseBytes = 0): string[] {
  return [...map.extents()]
    .filter(({ use }) => use === 'free')
    .map(({ offset, length }) => {
      const first = (offset - baseBytes) / unitBytes
      return `${first}-${first + length / unitBytes - 1}`
    })
}

/** Ascending ranges as text, those that touch made one. */
export function mergedRanges(ranges: Iterable<readonly [first: number, last: number]>): string[] {
  const merged: [number, number][] = []
  for (const [first, last] of [...ranges].sort(([a], [b]) => a - b)) {
    const before = merged.at(-1)
    if (before !== undefined && before[1] + 1 === first) before[1] = last
    else merged.push([first, last])
  }
  return merged.map(([first, last]) => `${first}-${last}`)
}

/** Copies what is used to a new file, which has `filler` everywhere else. */
function copyUsed(
  from: string,
  to: string,
  map: FilesystemMap,
  filler: number,
  leaveOut: readonly BlockUse[],
) {
  const source = openSync(from, 'r')
  const target = openSync(emptyImage(to, statSync(from).size), 'r+')
  const buffer = Buffer.alloc(MiB)
  const garbage = Buffer.alloc(MiB, filler)
  for (const { offset, length, use } of map.extents()) {
    const isLeftOut = leaveOut.includes(use)
    if (isLeftOut && filler === 0) continue
    for (let done = 0; done < length; done += buffer.length) {
      const count = Math.min(buffer.length, length - done)
      if (!isLeftOut) readSync(source, buffer, 0, count, offset + done)
      writeSync(target, isLeftOut ? garbage : buffer, 0, count, offset + done)
    }
  }
  closeSync(source)
  closeSync(target)
}

/** What partclone would copy, from the log that it writes for ddrescue. */
function partcloneExtents(program: string, image: string): VolumeExtent[] {
  const log = `${image}.domain`
  rmSync(log, { force: true })
  run(program, '-D', '-F', '-q', '-s', image, '-o', log, '-L', `${image}.partclone`)
  const lines = readFileSync(log, 'utf8').matchAll(/^(0x[0-9A-F]+) +(0x[0-9A-F]+) +([+?])$/gm)
  return [...lines].map(([, offset, length, mark]) => ({
    offset: Number(offset),
    length: Number(length),
    use: mark === '+' ? 'used' : 'free',
  }))
}

/** Throws unless partclone would copy what the map says, but for what lies behind the filesystem. */
function assertSameAsPartclone(map: FilesystemMap, extents: readonly VolumeExtent[], end: number): void {
  if (extents.length === 0) throw new Error('partclone says nothing')
  assertSuperset(map.extents(), extents)
  const within = [...map.extents()].map((extent) => ({
    ...extent,
    length: Math.min(extent.length, Math.max(0, end - extent.offset)),
  }))
  assertSuperset(
    extents,
    within.filter(({ length }) => length > 0),
  )
}
