import { Fields } from '../common/fields.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { type ListEntry, MAX_LIST_BYTES, parseAttributeList } from './attribute-list.ts'
import type { NtfsGeometry } from './boot-sector.ts'
import {
  ATTRIBUTE,
  type Attribute,
  type AttributeSizes,
  type FileRecord,
  parseFileRecord,
} from './file-record.ts'
import { decodeRuns, RunList } from './run-list.ts'

/** Records of the filesystem's own files. */
export const SYSTEM_FILE = {
  mft: 0,
  mirror: 1,
  logFile: 2,
  volume: 3,
  root: 5,
  bitmap: 6,
  boot: 7,
  upcase: 10,
} as const

/** The value of an attribute that is not resident, put together of all its parts. */
export interface AttributeContent {
  readonly flags: number
  readonly sizes: AttributeSizes
  readonly runs: RunList
}

/** The table of all files, which is a file itself. Source: "$MFT" of the documentation of Linux-NTFS. */
export class MasterFileTable {
  readonly geometry: NtfsGeometry
  readonly reader: VolumeReader
  readonly #runs: RunList
  #recordCount = 1

  private constructor(reader: VolumeReader, geometry: NtfsGeometry) {
    this.reader = reader
    this.geometry = geometry
    this.#runs = new RunList(geometry.clusterBytes)
  }

  /**
   * Finds all of the table, beginning with its first record, which describes itself.
   *
   * @throws SurveyError
   */
  static async open(reader: VolumeReader, geometry: NtfsGeometry): Promise<MasterFileTable> {
    const { mftCluster, clusterBytes, recordBytes } = geometry
    const table = new MasterFileTable(reader, geometry)
    const first = parseFileRecord(await reader.bytes(mftCluster * clusterBytes, recordBytes), 0)
    // Parts of the table that are found let further parts be found, so that its own list grows while it is followed.
    const content = await table.#compose(first, ATTRIBUTE.data, '', table.#runs)
    if (content === undefined) throw new SurveyError('inconsistent', 'the master file table has no place')
    assertPlain(content, 'the master file table')
    const [run] = content.runs.runs
    const isThere = run?.start === mftCluster && run.count * clusterBytes >= recordBytes
    ensure(isThere, 'inconsistent', 'the master file table begins elsewhere than the boot sector says')
    table.#recordCount = Math.floor(content.sizes.initialised / recordBytes)
    ensure(table.#recordCount > SYSTEM_FILE.upcase, 'inconsistent', 'the master file table is too short')
    return table
  }

  /** Records that were ever written. */
  get recordCount(): number {
    return this.#recordCount
  }

  /** The bytes of `count` records, as they are on the volume. */
  async readRecords(number: number, count: number): Promise<Uint8Array> {
    const { recordBytes } = this.geometry
    return this.#runs.read(this.reader, number * recordBytes, count * recordBytes)
  }

  /** @throws SurveyError unless the record is in use and in order. */
  async record(number: number): Promise<FileRecord> {
    return parseFileRecord(await this.readRecords(number, 1), number)
  }

  /**
   * The value of an attribute that is not resident; undefined when the file has none of this type and name.
   *
   * @throws SurveyError when it is resident, or its parts are not all there.
   */
  async content(file: FileRecord, type: number, name = ''): Promise<AttributeContent | undefined> {
    return this.#compose(file, type, name, new RunList(this.geometry.clusterBytes))
  }

  async #compose(
    file: FileRecord,
    type: number,
    name: string,
    runs: RunList,
  ): Promise<AttributeContent | undefined> {
    let first: Attribute | undefined
    let sizes: AttributeSizes | undefined
    for await (const part of this.#parts(file, type, name)) {
      ensure(part.place !== undefined, 'inconsistent', `an attribute of file ${file.number} is resident`)
      const isNext = part.place.firstCluster === runs.clusters
      ensure(isNext, 'inconsistent', `parts of an attribute of file ${file.number} do not join`)
      first ??= part
      sizes ??= part.place.sizes
      runs.append(decodeRuns(part.place))
    }
    return first === undefined || sizes === undefined ? undefined : { flags: first.flags, sizes, runs }
  }

  /** The parts of an attribute, in order. */
  async *#parts(file: FileRecord, type: number, name: string): AsyncGenerator<Attribute> {
    const list = file.attributes.find((attribute) => attribute.type === ATTRIBUTE.attributeList)
    if (list === undefined) {
      yield* file.attributes.filter((attribute) => attribute.type === type && attribute.name === name)
      return
    }
    const entries = parseAttributeList(await this.#listBytes(list))
    for (const entry of entries) {
      if (entry.type === type && entry.name === name) yield await this.#listed(file, entry)
    }
  }

  async #listBytes({ value, place }: Attribute): Promise<Fields> {
    if (value !== undefined) return value
    const { sizes } = place!
    const isPossible = sizes !== undefined && sizes.data <= MAX_LIST_BYTES && sizes.initialised === sizes.data
    ensure(isPossible, 'inconsistent', 'a list of attributes has an impossible size')
    const runs = new RunList(this.geometry.clusterBytes)
    runs.append(decodeRuns(place!))
    return new Fields(await runs.read(this.reader, 0, sizes.data))
  }

  /** The part of an attribute that an entry of a list leads to. */
  async #listed(file: FileRecord, { type, name, firstCluster, record }: ListEntry): Promise<Attribute> {
    const isOwn = record.number === file.number
    const extension = isOwn ? file : await this.record(record.number)
    const isMeant =
      extension.sequence === record.sequence &&
      (isOwn || (extension.base?.number === file.number && extension.base.sequence === file.sequence))
    ensure(isMeant, 'inconsistent', `record ${record.number} is not a part of file ${file.number}`)
    const part = extension.attributes.find(
      (attribute) =>
        attribute.type === type &&
        attribute.name === name &&
        (attribute.place?.firstCluster ?? 0) === firstCluster,
    )
    ensure(
      part !== undefined,
      'inconsistent',
      `record ${record.number} has not what file ${file.number} lists`,
    )
    return part
  }
}

/** @throws SurveyError unless all of a value has clusters of its own, and as many as its size says. */
export function assertPlain({ flags, sizes, runs }: AttributeContent, what: string): void {
  const hasHoles = runs.runs.some(({ start }) => start === undefined)
  ensure(flags === 0 && !hasHoles, 'inconsistent', `${what} is compressed, encrypted or sparse`)
  ensure(sizes.data <= sizes.allocated, 'inconsistent', `${what} is larger than its place`)
}
