import { SurveyError } from '../common/survey-error.ts'
import type { VolumeExtent } from '../filesystem-map.ts'
import { ATTRIBUTE, type FileRecord } from './file-record.ts'
import { type FileWalk, fileNames } from './file-walk.ts'
import { type AttributeContent, type MasterFileTable, SYSTEM_FILE } from './master-file-table.ts'

const HIBERNATION_FILE = 'hiberfil.sys'

/** Files in the root directory to which Windows writes what is in memory. */
export const MEMORY_FILES: readonly string[] = [HIBERNATION_FILE, 'pagefile.sys', 'swapfile.sys']

/** Signatures, in capitals or not, stand at the beginning; of a file that means nothing the first page is zeros. */
const HEADER_BYTES = 4096
const HIDDEN_AND_SYSTEM = 0x0002 | 0x0004

/**
 * The clusters of files to which Windows writes what is in memory, ascending. They are left out only if they are surely
 * those files: hidden system files of one name, in the root directory, all of whose clusters are known.
 *
 * @throws SurveyError `hibernated` when the machine sleeps, or that cannot be told.
 */
export async function memoryExtents(table: MasterFileTable, { named }: FileWalk): Promise<VolumeExtent[]> {
  const extents: VolumeExtent[] = []
  for (const [name, numbers] of named) {
    for (const number of new Set(numbers)) {
      const file = await table.record(number)
      if (name === HIBERNATION_FILE) await assertAwake(table, file)
      extents.push(...(await disposableExtents(table, file, name)))
    }
  }
  return extents.sort((a, b) => a.offset - b.offset)
}

async function assertAwake(table: MasterFileTable, file: FileRecord): Promise<void> {
  const header = await headerOf(table, file)
  if (header.every((byte) => byte === 0)) return
  const signature = Buffer.from(header.subarray(0, 4)).toString('latin1').toLowerCase()
  const isKnown = ['hibr', 'wake', 'rstr'].includes(signature)
  throw new SurveyError(
    'hibernated',
    isKnown ? 'it holds the memory of a machine that sleeps' : `${HIBERNATION_FILE} has unknown content`,
  )
}

async function headerOf(table: MasterFileTable, file: FileRecord): Promise<Uint8Array> {
  const resident = residentData(file)
  if (resident !== undefined) return resident
  const content = await table.content(file, ATTRIBUTE.data)
  if (content === undefined) return new Uint8Array(0)
  if (content.flags !== 0) throw new SurveyError('hibernated', `${HIBERNATION_FILE} is no plain file`)
  return content.runs.read(table.reader, 0, Math.min(HEADER_BYTES, content.sizes.initialised))
}

function residentData({ attributes }: FileRecord): Uint8Array | undefined {
  return attributes.find(({ type, name }) => type === ATTRIBUTE.data && name === '')?.value?.bytes
}

/** The clusters of the content of a file, if it is surely what it is taken for. */
async function disposableExtents(
  table: MasterFileTable,
  file: FileRecord,
  name: string,
): Promise<VolumeExtent[]> {
  if (!hasOneName(file, name) || !isHiddenSystemFile(file) || residentData(file) !== undefined) return []
  const content = await table.content(file, ATTRIBUTE.data)
  if (content === undefined || !isPlain(content, table.geometry.clusterBytes)) return []
  const { clusterBytes } = table.geometry
  return content.runs.runs.map(({ start, count }) => ({
    offset: start! * clusterBytes,
    length: count * clusterBytes,
    use: 'swap',
  }))
}

/** A file that has other names too may be something else under these. A short name is a name of its own. */
function hasOneName(file: FileRecord, name: string): boolean {
  const names = fileNames(file)
  return (
    names.length === file.links &&
    names.every((one) => one.directory === SYSTEM_FILE.root && one.name.toLowerCase() === name)
  )
}

function isHiddenSystemFile({ attributes }: FileRecord): boolean {
  const information = attributes.find(({ type }) => type === ATTRIBUTE.standardInformation)?.value
  return information !== undefined && (information.u32(32) & HIDDEN_AND_SYSTEM) === HIDDEN_AND_SYSTEM
}

function isPlain({ flags, sizes, runs }: AttributeContent, clusterBytes: number): boolean {
  const hasHoles = runs.runs.some(({ start }) => start === undefined)
  return flags === 0 && !hasHoles && sizes.allocated === runs.clusters * clusterBytes
}
