import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { nextCluster } from './allocation-table.ts'
import { type FatGeometry, FIRST_CLUSTER } from './boot-sector.ts'
import type { ClusterUse } from './cluster-use.ts'

const ENTRY_BYTES = 32
/** Entries of the root directory in front of the clusters are read so many at a time. */
const ROOT_PIECE_BYTES = 512 * ENTRY_BYTES

const END = 0x00
const DELETED = 0xe5
const VOLUME_LABEL = 0x08
const DIRECTORY = 0x10

/**
 * Walks through all directories and notes to which clusters their entries lead. Source: "FAT Directory Structure" of
 * the specification.
 *
 * @throws SurveyError when two entries, or an entry and a chain, lead to the same cluster.
 */
export async function referFromDirectories(
  reader: VolumeReader,
  geometry: FatGeometry,
  clusters: ClusterUse,
): Promise<void> {
  const directories: number[] = []
  const isFat32 = geometry.type === 'fat32'
  const refer = (cluster: number, isDirectory: boolean) => {
    clusters.refer(cluster)
    if (isDirectory) directories.push(cluster)
  }
  if (geometry.rootCluster !== undefined) refer(geometry.rootCluster, true)
  for (let done = 0; done < geometry.rootBytes; done += ROOT_PIECE_BYTES) {
    const length = Math.min(ROOT_PIECE_BYTES, geometry.rootBytes - done)
    if (!takeEntries(await reader.fields(geometry.rootStart + done, length), isFat32, refer)) break
  }
  for (let first = directories.pop(); first !== undefined; first = directories.pop()) {
    for (let cluster: number | undefined = first; cluster !== undefined; ) {
      const at = geometry.dataStart + (cluster - FIRST_CLUSTER) * geometry.clusterBytes
      if (!takeEntries(await reader.fields(at, geometry.clusterBytes), isFat32, refer)) break
      cluster = await nextCluster(reader, geometry, cluster)
    }
  }
}

/** Calls `refer` for every entry that leads to a cluster. Returns whether the directory goes on. */
function takeEntries(
  fields: Fields,
  isFat32: boolean,
  refer: (cluster: number, isDirectory: boolean) => void,
): boolean {
  for (let at = 0; at < fields.length; at += ENTRY_BYTES) {
    const first = fields.u8(at)
    if (first === END) return false
    const attributes = fields.u8(at + 11)
    const isDot = fields.says(at, '.          ') || fields.says(at, '..         ')
    // Parts of long names have the mark of labels too.
    if (first === DELETED || isDot || (attributes & VOLUME_LABEL) !== 0) continue
    const cluster = fields.u16(at + 26) + (isFat32 ? (fields.u16(at + 20) & 0x0fff) * 2 ** 16 : 0)
    const isDirectory = (attributes & DIRECTORY) !== 0
    ensure(cluster > 0 || !isDirectory, 'inconsistent', 'a directory leads nowhere')
    if (cluster > 0) refer(cluster, isDirectory)
  }
  return true
}
