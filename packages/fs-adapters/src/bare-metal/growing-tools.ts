/** What makes a filesystem as large as its partition; by the beginning of the filesystem's type. */
const TOOLS: readonly (readonly [string, string])[] = [
  ['ext', 'resize2fs (after e2fsck -f)'],
  ['xfs', 'xfs_growfs, once it is mounted'],
  ['ntfs', 'ntfsresize, or Windows'],
  ['btrfs', 'btrfs filesystem resize max, once it is mounted'],
  ['fat', 'fatresize'],
  ['swap', 'mkswap, with its old UUID'],
  ['luks', 'cryptsetup resize, and then the tool of what is inside'],
  ['lvm', 'pvresize'],
]

/** Says which tool comes next after the partition of a filesystem has grown. */
export function growingTool(filesystem: string | undefined): string {
  const known = TOOLS.find(([type]) => filesystem?.startsWith(type) === true)
  return known?.[1] ?? 'the tool of what is in it'
}
