/** What the parsers know by name. */
export type FilesystemType =
  | 'ext2'
  | 'ext3'
  | 'ext4'
  | 'ext-journal'
  | 'fat12'
  | 'fat16'
  | 'fat32'
  | 'exfat'
  | 'ntfs'
  | 'xfs'
  | 'lvm2'
  | 'swap'
  | 'luks1'
  | 'luks2'

/**
 * Why a volume is read whole. Codes are stable: programs may branch on them.
 *
 * - `unrecognised`: nothing that is known here has left its marks.
 * - `ambiguous`: the marks of more than one thing are there, and which of them is alive cannot be told.
 * - `opaque`: known, but what is in use cannot be seen from outside: encrypted volumes, external journals.
 * - `not-clean`: mounted, or not unmounted properly; work is left for its driver.
 * - `has-errors`: its driver has marked it as having errors.
 * - `hibernated`: it holds the memory of a machine that is to be woken.
 * - `unknown-feature`: it uses a feature that is not known here.
 * - `bad-checksum`: a checksum is wrong.
 * - `inconsistent`: counts, flags or structures contradict each other.
 * - `out-of-range`: a structure, or the end of the filesystem, lies where it cannot.
 * - `unreadable`: the source failed to read a part of what has to be read.
 * - `too-costly`: finding out takes more reading, memory or time than is granted.
 */
export type FilesystemProblemCode =
  | 'unrecognised'
  | 'ambiguous'
  | 'opaque'
  | 'not-clean'
  | 'has-errors'
  | 'hibernated'
  | 'unknown-feature'
  | 'bad-checksum'
  | 'inconsistent'
  | 'out-of-range'
  | 'unreadable'
  | 'too-costly'

/** Why a volume is read whole. */
export interface FilesystemProblem {
  readonly code: FilesystemProblemCode
  /** For people, in English, without a full stop. */
  readonly message: string
}

/**
 * What a range of a volume is to its filesystem. What is neither `free` nor `swap` is `used`, also what lies around the
 * filesystem. Swap space, also that in files of Windows, is allocated but means nothing when the machine is off.
 */
export type BlockUse = 'used' | 'free' | 'swap'

/** A range of a volume, in bytes from its beginning. */
export interface VolumeExtent {
  readonly offset: number
  readonly length: number
  readonly use: BlockUse
}

/** What the head of a filesystem says about it, unchecked. */
export interface FilesystemIdentity {
  readonly type: FilesystemType
  /** Undefined where there is none. */
  readonly label: string | undefined
  /** UUID or serial number, as the tools of the filesystem write it; undefined where there is none. */
  readonly uuid: string | undefined
  /** Unit of allocation. */
  readonly blockBytes: number
  /** Size of the filesystem, which may differ from that of the volume. */
  readonly sizeBytes: number
}

/** A volume within one that is shared out, such as a logical volume. */
export interface InnerVolume {
  readonly name: string
  readonly sizeBytes: number
  /** Undefined when nothing was recognised, or it was not looked at. */
  readonly filesystem: FilesystemIdentity | undefined
  /** Why all of it counts as used; undefined when it does not. */
  readonly problem: FilesystemProblem | undefined
}

/** What is on a volume, and which parts of the volume it uses. */
export interface FilesystemMap {
  /** Undefined when nothing was recognised, or more than one thing. */
  readonly filesystem: FilesystemIdentity | undefined

  /**
   * `used-map`: the filesystem was left in order and passed all checks, and {@link FilesystemMap.extents} says what it
   * uses. `read-whole`: that cannot be said, {@link FilesystemMap.problem} says why, and all of the volume counts as
   * used.
   */
  readonly state: 'used-map' | 'read-whole'
  /** Undefined when `state` is `used-map`. */
  readonly problem: FilesystemProblem | undefined

  /** The volumes within it, where it is shared out. None when `state` is `read-whole`. */
  readonly volumes: readonly InnerVolume[]

  /** Bytes of the volume by use; they add up to its size. */
  readonly bytes: Readonly<Record<BlockUse, number>>

  /**
   * Ascending extents that cover the whole volume without gap or overlap; neighbours have different uses. Can be
   * iterated any number of times; made while it is iterated, so that millions of them take no memory.
   */
  extents(): Iterable<VolumeExtent>
}
