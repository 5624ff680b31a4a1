/** Features that may be unknown to whoever mounts the filesystem. */
export const COMPAT = {
  directoryPreallocation: 0x1,
  imagicInodes: 0x2,
  journal: 0x4,
  extendedAttributes: 0x8,
  resizeInode: 0x10,
  directoryIndex: 0x20,
  sparseSuper2: 0x200,
  fastCommit: 0x400,
  stableInodes: 0x800,
  orphanFile: 0x1000,
} as const

/** Features that have to be known. */
export const INCOMPAT = {
  fileType: 0x2,
  recover: 0x4,
  journalDevice: 0x8,
  metaGroups: 0x10,
  extents: 0x40,
  bits64: 0x80,
  multipleMountProtection: 0x100,
  flexibleGroups: 0x200,
  attributesInInodes: 0x400,
  checksumSeed: 0x2000,
  largeDirectories: 0x4000,
  inlineData: 0x8000,
  encryption: 0x10000,
  caseFolding: 0x20000,
} as const

/** Features that have to be known to whoever writes. */
export const RO_COMPAT = {
  sparseSuper: 0x1,
  largeFiles: 0x2,
  directoryTrees: 0x4,
  hugeFiles: 0x8,
  descriptorChecksums: 0x10,
  manyLinks: 0x20,
  extraInodeSize: 0x40,
  quota: 0x100,
  bigalloc: 0x200,
  metadataChecksums: 0x400,
  readOnly: 0x1000,
  projectQuota: 0x2000,
  sharedBlocks: 0x4000,
  verity: 0x8000,
  orphanPresent: 0x10000,
} as const

export const KNOWN_COMPAT: number = allOf(COMPAT)
export const KNOWN_INCOMPAT: number = allOf(INCOMPAT)
export const KNOWN_RO_COMPAT: number = allOf(RO_COMPAT)

function allOf(flags: Readonly<Record<string, number>>): number {
  return Object.values(flags).reduce((all, flag) => all | flag, 0)
}
