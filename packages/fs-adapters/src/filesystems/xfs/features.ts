/** What the version number of a superblock says besides the version. Names as in the kernel's xfs_format.h. */
export const VERSION = {
  attributes: 0x10,
  longLinkCounts: 0x20,
  quota: 0x40,
  alignedInodes: 0x80,
  stripeAlignment: 0x100,
  logVersion2: 0x400,
  largeSectors: 0x800,
  extentFlags: 0x1000,
  directories2: 0x2000,
  asciiCaseFolding: 0x4000,
  moreBits: 0x8000,
} as const

/** More of them, where `moreBits` is set. */
export const VERSION2 = {
  lazyCounts: 0x2,
  attributes2: 0x8,
  projectIds32: 0x80,
  checksums: 0x100,
  fileTypes: 0x200,
} as const

/** Version 5: features that have to be known to whoever writes. */
export const RO_COMPAT = {
  freeInodeTree: 0x1,
  reverseMap: 0x2,
  reflink: 0x4,
  inodeTreeCounts: 0x8,
} as const

/** Version 5: features that have to be known. */
export const INCOMPAT = {
  fileTypes: 0x1,
  sparseInodes: 0x2,
  metadataUuid: 0x4,
  bigTime: 0x8,
  needsRepair: 0x10,
  largeExtentCounts: 0x20,
  exchangeRange: 0x40,
  parentPointers: 0x80,
} as const

/** Version 5: features that have to be known to whoever replays the log. */
export const LOG_INCOMPAT = { loggedAttributes: 0x1 } as const

/** Flags that are set but not among the known ones. */
export function unknownOf(flags: number, known: Readonly<Record<string, number>>): number {
  return (flags & ~Object.values(known).reduce((all, flag) => all | flag, 0)) >>> 0
}
