import { ClaimedBlocks } from '../common/claimed-blocks.ts'
import { Fields } from '../common/fields.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'
import { utf16 } from '../common/utf16.ts'
import { PIECE_BYTES } from '../common/volume-reader.ts'
import { ATTRIBUTE, type FileRecord, isInUse, parseFileRecord, referenceAt } from './file-record.ts'
import { type AttributeContent, assertPlain, type MasterFileTable, SYSTEM_FILE } from './master-file-table.ts'
import { decodeRuns } from './run-list.ts'

/** Records below are the filesystem's own; some of them are reserved without being in use. */
const FIRST_USER_RECORD = 24

/** What is found on a walk through all files. */
export interface FileWalk {
  /** Clusters that any file has. */
  readonly claimed: ClaimedBlocks
  /** Numbers of the files in the root directory that have one of the names which were asked for. */
  readonly named: ReadonlyMap<string, readonly number[]>
}

/** A name of a file and the directory it is in. */
export interface FileName {
  readonly directory: number
  readonly name: string
}

/**
 * Reads all records of the master file table, and claims the clusters of all attributes that are not resident. Looks for
 * files of the root directory by name, in lower case.
 *
 * @throws SurveyError when a record is damaged, or two things have the same cluster.
 */
export async function walkFiles(table: MasterFileTable, names: readonly string[]): Promise<FileWalk> {
  const { recordBytes, clusterCount } = table.geometry
  const claimed = new ClaimedBlocks(clusterCount)
  const named = new Map<string, number[]>()
  const bitmap = await recordBitmap(table)
  const perPiece = PIECE_BYTES / recordBytes
  for (let first = 0; first < table.recordCount; first += perPiece) {
    const count = Math.min(perPiece, table.recordCount - first)
    const records = await table.readRecords(first, count)
    const bits = await bitmap.runs.read(table.reader, first / 8, Math.ceil(count / 8))
    for (let i = 0; i < count; i++) {
      const isMarked = ((bits[i >>> 3]! >>> (i & 7)) & 1) === 1
      const record = takeRecord(records.subarray(i * recordBytes, (i + 1) * recordBytes), first + i, isMarked)
      if (record === undefined) continue
      claimClusters(record, claimed)
      for (const { directory, name } of fileNames(record)) {
        if (directory !== SYSTEM_FILE.root || !names.includes(name.toLowerCase())) continue
        const found = record.base?.number ?? record.number
        ensure(found < table.recordCount, 'inconsistent', `the base of record ${record.number} is no record`)
        named.set(name.toLowerCase(), [...(named.get(name.toLowerCase()) ?? []), found])
      }
    }
  }
  return { claimed, named }
}

/** The names that a record has. Source: "$FILE_NAME" of the documentation of Linux-NTFS. */
export function fileNames({ attributes }: FileRecord): FileName[] {
  return attributes
    .filter(({ type }) => type === ATTRIBUTE.fileName)
    .map(({ value }) => {
      if (value === undefined) throw new SurveyError('inconsistent', 'the name of a file is not resident')
      const name = utf16(value.slice(66, value.u8(64) * 2)) ?? ''
      return { directory: referenceAt(value, 0).number, name }
    })
}

/** Says which records are in use. */
async function recordBitmap(table: MasterFileTable): Promise<AttributeContent> {
  const content = await table.content(await table.record(SYSTEM_FILE.mft), ATTRIBUTE.bitmap)
  if (content === undefined) throw new SurveyError('inconsistent', 'nothing says which records are in use')
  assertPlain(content, 'the bitmap of records')
  const isLongEnough = content.sizes.initialised * 8 >= table.recordCount
  ensure(isLongEnough, 'inconsistent', 'the bitmap of records is too short')
  return content
}

/** Undefined for a record that is not in use. */
function takeRecord(bytes: Uint8Array, number: number, isMarked: boolean): FileRecord | undefined {
  const isUsed = isInUse(new Fields(bytes))
  const isRight = isUsed ? isMarked : !isMarked || number < FIRST_USER_RECORD
  ensure(isRight, 'inconsistent', `record ${number} and the bitmap of records disagree`)
  return isUsed ? parseFileRecord(bytes, number) : undefined
}

function claimClusters({ attributes }: FileRecord, claimed: ClaimedBlocks): void {
  for (const { place } of attributes) {
    if (place === undefined) continue
    for (const { start, count } of decodeRuns(place)) if (start !== undefined) claimed.claim(start, count)
  }
}
