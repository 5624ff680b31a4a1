import { crc32 } from 'node:zlib'
import type { Decoding, DiskShape } from './decoding.ts'
import { decodeGptCopy, type GptCopy, type GptHeader, readEntries, type ValidCopy } from './gpt-copy.ts'
import { isUsed } from './gpt-entries.ts'
import { type GptCopyName, problem, type TableProblem } from './partition-table.ts'

/** A GPT of which a copy is sound. */
export interface ValidGpt {
  readonly state: 'valid'
  readonly used: ValidCopy
  readonly copy: GptCopyName
  /** Headers of the copies that are sound and agree. */
  readonly sound: Readonly<Partial<Record<GptCopyName, GptHeader>>>
  readonly problems: readonly TableProblem[]
}

type UnsoundCopy = Exclude<GptCopy, ValidCopy>

/** What both copies together say. */
export type Gpt =
  | { readonly state: 'absent' }
  | { readonly state: 'damaged'; readonly problems: readonly TableProblem[] }
  | ValidGpt

/**
 * Reads both copies. A sound primary is what every system uses; the backup counts when the primary is damaged, and is
 * looked for where the primary says and in the last sector (UEFI 2.10, section 5.3.2).
 */
export function* decodeGpt(disk: DiskShape): Decoding<Gpt> {
  const lastLba = Math.floor(disk.sizeBytes / disk.sectorBytes) - 1
  if (lastLba < 3) return { state: 'absent' }
  const primary = yield* decodeGptCopy(disk, 1)
  const alternateLba = primary.state === 'absent' ? undefined : primary.header?.alternateLba
  const isInside = alternateLba !== undefined && alternateLba > 1 && alternateLba < lastLba
  const named: GptCopy = isInside ? yield* decodeGptCopy(disk, alternateLba) : { state: 'absent' }
  const last = yield* decodeGptCopy(disk, lastLba)
  if (primary.state === 'valid') return fromPrimary(primary, named, last, lastLba)
  return yield* fromBackups(disk, primary, named, last)
}

function fromPrimary(primary: ValidCopy, named: GptCopy, last: GptCopy, lastLba: number): ValidGpt {
  const { alternateLba } = primary.header
  const problems = placeProblems(primary.header, lastLba)
  // What a larger disk held before may still end it; it is heeded only where the named backup is not sound.
  const backup = named.state === 'valid' || last.state === 'absent' ? named : last
  const valid = (sound: ValidGpt['sound']): ValidGpt => {
    return { state: 'valid', used: primary, copy: 'primary', sound, problems }
  }
  if (backup.state !== 'valid') {
    problems.push(damageOf(backup, 'backup'))
    return valid({ primary: primary.header })
  }
  if (backup.header.alternateLba !== 1 || !isSameTable(primary.header, backup.header)) {
    const message = 'The two copies of the GPT are sound and contradict each other.'
    problems.push(problem('error', 'copies-disagree', message))
    return valid({ primary: primary.header })
  }
  if (backup.header.lba !== alternateLba) {
    const message = `The backup of the GPT is in sector ${backup.header.lba}, and the primary says ${alternateLba}.`
    problems.push(problem('warning', 'copies-disagree', message))
    return valid({ primary: primary.header })
  }
  return valid({ primary: primary.header, backup: backup.header })
}

function placeProblems({ alternateLba, lastUsableLba }: GptHeader, lastLba: number): TableProblem[] {
  if (alternateLba > lastLba || lastUsableLba > lastLba) {
    const end = Math.max(alternateLba, lastUsableLba)
    const message = `The GPT was made for a larger disk: it names sector ${end}, and the disk ends with ${lastLba}.`
    return [problem('error', 'disk-smaller', message)]
  }
  if (alternateLba === lastLba) return []
  const message = `The backup of the GPT belongs to sector ${alternateLba}, and the disk ends with ${lastLba}: it has grown.`
  return [problem('warning', 'backup-not-at-end', message, 'backup')]
}

/** The primary is not sound. Of the backups, all that are sound have to say the same. */
function* fromBackups(disk: DiskShape, primary: UnsoundCopy, named: GptCopy, last: GptCopy): Decoding<Gpt> {
  const damage = damageOf(primary, 'primary')
  const valid = [named, last].filter((copy) => copy.state === 'valid')
  const [used, other] = valid
  if (used === undefined) {
    const all = [primary, named, last]
    if (all.every(({ state }) => state === 'absent')) return { state: 'absent' }
    const backup = named.state === 'damaged' ? named : last.state === 'damaged' ? last : ABSENT
    return { state: 'damaged', problems: [damage, damageOf(backup, 'backup')] }
  }
  const problems = [damage]
  const lastLba = Math.floor(disk.sizeBytes / disk.sectorBytes) - 1
  if (used.header.lastUsableLba > lastLba)
    problems.push(problem('error', 'disk-smaller', 'The GPT was made for a larger disk.'))
  if (other !== undefined && !isSameTable(other.header, used.header)) {
    const message = 'There are two backups of the GPT, and they contradict each other.'
    problems.push(problem('error', 'copies-disagree', message, 'backup'))
  }
  if (!(yield* isConfirmed(disk, primary, used))) {
    const message =
      'Nothing of the first copy of the GPT confirms its backup, which may be that of an earlier table.'
    problems.push(problem(disk.trustBackup ? 'warning' : 'error', 'backup-unconfirmed', message, 'backup'))
  }
  return { state: 'valid', used, copy: 'backup', sound: { backup: used.header }, problems }
}

const ABSENT = { state: 'absent' } as const

/**
 * Whether what is left of the primary shows that a backup is of the same table: a sound header that names the same
 * entries, or entries with the checksum that the backup has of them. Zeros show nothing.
 */
function* isConfirmed(disk: DiskShape, primary: UnsoundCopy, backup: ValidCopy): Decoding<boolean> {
  if (primary.state === 'damaged' && primary.part === 'entries' && primary.header !== undefined)
    return isSameTable(primary.header, backup.header)
  if (!isUsed(backup.header, backup.entries)) return false
  const hint = primary.state === 'damaged' ? primary.header?.entriesLba : undefined
  for (const lba of new Set([2, hint ?? 2])) {
    const end =
      lba * disk.sectorBytes + Math.ceil(backup.entries.length / disk.sectorBytes) * disk.sectorBytes
    if (lba < 2 || end > disk.sizeBytes) continue
    const entries = yield* readEntries(disk, lba, backup.entries.length)
    if (entries !== undefined && crc32(entries) === backup.header.entriesCrc) return true
  }
  return false
}

function damageOf(copy: UnsoundCopy, name: GptCopyName): TableProblem {
  const which = name === 'primary' ? 'first copy' : 'backup'
  if (copy.state !== 'damaged')
    return problem('warning', 'header-missing', `The ${which} of the GPT is not there.`, name)
  const code = copy.part === 'header' ? 'header-damaged' : 'entries-damaged'
  return problem('warning', code, `The ${which} of the GPT cannot be used: ${copy.why}.`, name)
}

/** Whether two headers describe the same table. */
function isSameTable(a: GptHeader, b: GptHeader): boolean {
  return (
    a.diskGuid === b.diskGuid &&
    a.entriesCrc === b.entriesCrc &&
    a.entryCount === b.entryCount &&
    a.entryBytes === b.entryBytes &&
    a.firstUsableLba === b.firstUsableLba &&
    a.lastUsableLba === b.lastUsableLba
  )
}
