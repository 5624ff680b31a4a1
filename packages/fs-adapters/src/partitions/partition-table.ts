/** What can be wrong or unusual with a partition table. Codes are stable; docs/disks.md says what each means. */
export type TableProblemCode =
  | 'sector-size-unsupported'
  | 'sector-size-differs'
  | 'sector-size-ambiguous'
  | 'ambiguous'
  | 'label-unsupported'
  | 'unreadable'
  | 'gpt-damaged'
  | 'header-missing'
  | 'header-damaged'
  | 'entries-damaged'
  | 'backup-not-at-end'
  | 'backup-unconfirmed'
  | 'copies-disagree'
  | 'disk-smaller'
  | 'entry-size'
  | 'protective-mbr-missing'
  | 'protective-mbr-unusual'
  | 'hybrid-disagrees'
  | 'stale-gpt'
  | 'usable-range'
  | 'partition-invalid'
  | 'duplicate-guid'
  | 'beyond-end'
  | 'overlap'
  | 'chain-broken'
  | 'too-many-partitions'

/** One of the two copies of a GPT. */
export type GptCopyName = 'primary' | 'backup'

/**
 * Something wrong or unusual in a partition table. With a `warning` the table can still be relied upon; with an
 * `error` it cannot: read the disk whole.
 */
export interface TableProblem {
  readonly code: TableProblemCode
  readonly severity: 'warning' | 'error'
  readonly message: string
  /** Which copy of a GPT it concerns, where it concerns one. */
  readonly copy?: GptCopyName
}

/** A range of the disk, in bytes. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/**
 * A range that a backup always keeps bit for bit: the table itself, and everything before the first partition and behind
 * the last one. There are boot loaders, damaged copies of the table, and what RAID and volume managers leave.
 */
export interface TableArea extends ByteRange {
  readonly kind: 'mbr' | 'ebr' | 'gpt-header' | 'gpt-entries' | 'boot-area' | 'end-area' | 'unknown'
}

/** A partition; offset and length are in bytes. */
export interface Partition extends ByteRange {
  /** The number Linux gives it, from 1: `sda1`. Logical partitions begin with 5. */
  readonly number: number
  /** An `extended` partition only contains the logical ones. */
  readonly kind: 'primary' | 'extended' | 'logical'
  /** GPT: the type GUID in small letters; MBR: the type byte as two hexadecimal digits. */
  readonly type: string
  /** Name of a well-known type. */
  readonly typeName: string | undefined
  /** As Linux has it in PARTUUID: the unique GUID, or disk signature and number, `1234abcd-01`. */
  readonly partUuid: string
  /** GPT only, '' elsewhere. Unpaired surrogates became U+FFFD. */
  readonly name: string
  /** The active flag of an MBR; in a GPT the attribute "legacy BIOS bootable". */
  readonly bootable: boolean
  /** Numbers of the GPT attribute bits that are set, ascending. */
  readonly attributeBits: readonly number[]
}

/** What all tables have. */
export interface TableBase {
  /** Size of the disk. */
  readonly sizeBytes: number
  /** The size of the logical sectors that the table counts in. */
  readonly sectorBytes: number
  /** False when a problem is an error. What it says of the disk must not be built upon then: read the disk whole. */
  readonly isTrustworthy: boolean
  readonly problems: readonly TableProblem[]
  /** In ascending order of their numbers. */
  readonly partitions: readonly Partition[]
  /** Ascending, without overlap. */
  readonly areas: readonly TableArea[]
}

/** Where a sound copy of a GPT stands, in sectors. */
export interface GptPlace {
  readonly headerLba: number
  readonly entriesLba: number
}

/** A GPT; a `hybrid` one when its MBR lists partitions as well. */
export interface GptTable extends TableBase {
  readonly kind: 'gpt' | 'hybrid'
  readonly diskGuid: string
  /** The copy that was used. */
  readonly copy: GptCopyName
  /** The copies that are sound and agree. */
  readonly copies: Readonly<Partial<Record<GptCopyName, GptPlace>>>
  /** Where partitions may lie. */
  readonly usable: ByteRange
  /** What the MBR lists beside the protective entry; empty unless it is a hybrid. */
  readonly mbrPartitions: readonly Partition[]
  /** What the table was read from: the first bytes of the disk, and the copy that was used. */
  readonly raw: {
    readonly head: Uint8Array
    readonly header: Uint8Array
    readonly entries: Uint8Array
  }
}

export interface MbrTable extends TableBase {
  readonly kind: 'mbr'
  /** The disk signature, eight hexadecimal digits. */
  readonly signature: string
  /** What the table was read from: the first bytes of the disk, and the sectors of the EBRs. */
  readonly raw: {
    readonly head: Uint8Array
    readonly ebrs: readonly { readonly offset: number; readonly bytes: Uint8Array }[]
  }
}

/** No partition table that is known: an empty disk, a filesystem on the whole disk, a label of another kind. */
export interface NoTable extends TableBase {
  readonly kind: 'none'
  /** What was recognised in its place, such as `FAT` or `Apple partition map`. */
  readonly content: string | undefined
}

/**
 * There are signs of a table, but it is damaged, ambiguous or not supported: read the disk whole. Never trustworthy;
 * has no partitions, and its one area is the whole disk.
 */
export interface UnusableTable extends TableBase {
  readonly kind: 'unusable'
}

export type PartitionTable = GptTable | MbrTable | NoTable | UnusableTable

/** A problem as a value. */
export function problem(
  severity: TableProblem['severity'],
  code: TableProblemCode,
  message: string,
  copy?: GptCopyName,
): TableProblem {
  return copy === undefined ? { code, severity, message } : { code, severity, message, copy }
}

export function isTrustworthy(problems: readonly TableProblem[]): boolean {
  return problems.every(({ severity }) => severity !== 'error')
}

export function endOf({ offset, length }: ByteRange): number {
  return offset + length
}
