import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import type { Allocation, AllocationTable } from './allocation-table.ts'
import { type ExfatGeometry, FIRST_CLUSTER } from './boot-region.ts'
import { ENTRY, ENTRY_BYTES, type EntrySet, EntrySets, entryAt } from './entry-sets.ts'

const DIRECTORY = 0x10
const ALLOCATION_POSSIBLE = 0x01
const CONTIGUOUS = 0x02
const MAX_DIRECTORY_BYTES = 256 * 2 ** 20
const SECONDARY_PLACE = 1

/** What the root directory says about the filesystem itself. */
export interface SystemEntries {
  readonly bitmaps: readonly Fields[]
  readonly upcaseTables: readonly Fields[]
  readonly labels: readonly Fields[]
}

/**
 * Walks through all directories and claims the clusters of all files and directories. Returns what the root has about
 * the filesystem itself, whose clusters are still to be claimed.
 *
 * @throws SurveyError when entries are damaged or not known, or two things have the same cluster.
 */
export async function claimFiles(
  reader: VolumeReader,
  geometry: ExfatGeometry,
  table: AllocationTable,
): Promise<SystemEntries> {
  const root: Allocation = { first: geometry.rootCluster, count: undefined, isContiguous: false }
  const system = { bitmaps: [] as Fields[], upcaseTables: [] as Fields[], labels: [] as Fields[] }
  const directories: Allocation[] = [root]
  for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
    await table.claim(next)
    for await (const { kind, entries } of entrySets(reader, geometry, table, next, next === root)) {
      if (kind === ENTRY.bitmap) system.bitmaps.push(entries[0]!)
      if (kind === ENTRY.upcase) system.upcaseTables.push(entries[0]!)
      if (kind === ENTRY.label) system.labels.push(entries[0]!)
      if (kind !== ENTRY.file) continue
      const directory = directoryOf(entries, geometry.clusterBytes)
      if (directory !== undefined) directories.push(directory)
      for (const entry of directory === undefined ? entries.slice(1) : entries.slice(2)) {
        const allocation = allocationOf(entry, geometry.clusterBytes)
        if (allocation !== undefined) await table.claim(allocation)
      }
    }
  }
  return system
}

async function* entrySets(
  reader: VolumeReader,
  { dataStart, clusterBytes }: ExfatGeometry,
  table: AllocationTable,
  directory: Allocation,
  isRoot: boolean,
): AsyncGenerator<EntrySet> {
  const sets = new EntrySets(isRoot)
  const pieceBytes = Math.min(clusterBytes, PIECE_BYTES)
  for await (const cluster of table.clusters(directory)) {
    const start = dataStart + (cluster - FIRST_CLUSTER) * clusterBytes
    for (let done = 0; done < clusterBytes; done += pieceBytes) {
      const fields = await reader.fields(start + done, pieceBytes)
      for (let at = 0; at < fields.length; at += ENTRY_BYTES) {
        const set = sets.take(entryAt(fields, at))
        if (set === 'end') return
        if (set !== undefined) yield set
      }
    }
  }
  sets.assertWhole()
}

/** Where a directory lies; undefined for a file. */
function directoryOf(entries: readonly Fields[], clusterBytes: number): Allocation | undefined {
  const [file, stream] = entries as [Fields, Fields]
  if ((file.u16(4) & DIRECTORY) === 0) return undefined
  const allocation = allocationOf(stream, clusterBytes)
  ensure(allocation !== undefined, 'inconsistent', 'a directory leads nowhere')
  const length = stream.u64(24)
  const isPossible = length % clusterBytes === 0 && length <= MAX_DIRECTORY_BYTES
  ensure(isPossible, 'inconsistent', `a directory of ${length} bytes is not possible`)
  return allocation
}

/** Where the clusters of a secondary entry lie; undefined when it has none. */
function allocationOf(entry: Fields, clusterBytes: number): Allocation | undefined {
  // The parts of names have characters where others have clusters.
  if (entry.u8(0) === ENTRY.name) return undefined
  const flags = entry.u8(SECONDARY_PLACE)
  if ((flags & ALLOCATION_POSSIBLE) === 0) {
    ensure(entry.u8(0) !== ENTRY.stream, 'inconsistent', 'a file cannot have a place')
    return undefined
  }
  return placeOf(entry, (flags & CONTIGUOUS) !== 0, clusterBytes)
}

/** Where the clusters of an entry lie that has them in the usual place; undefined when it has none. */
export function placeOf(entry: Fields, isContiguous: boolean, clusterBytes: number): Allocation | undefined {
  const first = entry.u32(20)
  const length = entry.u64(24)
  ensure((first === 0) === (length === 0), 'inconsistent', 'a file has clusters and no size, or none and one')
  if (first === 0) return undefined
  return { first, count: Math.ceil(length / clusterBytes), isContiguous }
}
