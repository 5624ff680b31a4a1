import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { emptyImage, hashesOf, MiB, run, runWith } from './images.ts'
import { type FilesystemTools, mergedRanges } from './used-map-conformance.ts'

/** How to make a filesystem of the ext family, and what it is called. */
export interface ExtCase {
  readonly name: string
  readonly sizeBytes: number
  /** Arguments of mke2fs. */
  readonly options: string
  /** Blocks it is to have, where it does not take all of the volume. */
  readonly blocks?: number
  readonly type?: 'ext2' | 'ext3'
  /** Variables of the environment for mke2fs. */
  readonly variables?: Readonly<Record<string, string>>
}

const KiB = 1024

export const EXT_CASES: readonly ExtCase[] = [
  { name: 'defaults, 4K', sizeBytes: 64 * MiB, options: '-t ext4 -b 4096' },
  { name: '1K, odd size', sizeBytes: 24 * MiB + 7 * KiB, options: '-t ext4 -b 1024' },
  { name: '2K, a size that is no block', sizeBytes: 40 * MiB + 3000, options: '-t ext4 -b 2048' },
  { name: '64K', sizeBytes: 96 * MiB, options: '-t ext4 -b 65536' },
  { name: 'ext2', sizeBytes: 32 * MiB, options: '-t ext2', type: 'ext2' },
  {
    name: 'ext2, small groups, a superblock in each',
    sizeBytes: 16 * MiB,
    options: '-t ext2 -g 1024 -b 1024 -O ^sparse_super,^resize_inode',
    type: 'ext2',
  },
  {
    name: 'ext2, revision 0',
    sizeBytes: 16 * MiB,
    options: '-t ext2 -r 0 -b 1024 -O none',
    type: 'ext2',
  },
  { name: 'ext3', sizeBytes: 32 * MiB, options: '-t ext3', type: 'ext3' },
  {
    name: 'uninit_bg without metadata_csum',
    sizeBytes: 48 * MiB,
    options: '-t ext4 -O ^metadata_csum,uninit_bg,^64bit -b 1024',
  },
  {
    name: 'uninit_bg, 64bit',
    sizeBytes: 48 * MiB,
    options: '-t ext4 -O ^metadata_csum,uninit_bg,64bit -b 1024',
  },
  { name: 'metadata_csum, 32 bit', sizeBytes: 48 * MiB, options: '-t ext4 -O metadata_csum,^64bit -b 1024' },
  { name: 'no checksums', sizeBytes: 32 * MiB, options: '-t ext4 -O ^metadata_csum,^uninit_bg -b 1024' },
  { name: 'no flex_bg', sizeBytes: 48 * MiB, options: '-t ext4 -O ^flex_bg -b 1024' },
  { name: 'flex_bg of 4', sizeBytes: 48 * MiB, options: '-t ext4 -G 4 -g 2048 -b 1024' },
  {
    name: 'meta_bg',
    sizeBytes: 64 * MiB,
    options: '-t ext4 -O meta_bg,^resize_inode -g 512 -N 2048 -b 1024',
  },
  {
    // As it becomes when it is grown beyond the room that was kept for descriptors.
    name: 'meta_bg from the third block of descriptors on',
    sizeBytes: 64 * MiB,
    options: '-t ext4 -O meta_bg,^resize_inode -g 512 -N 2048 -b 1024',
    variables: { MKE2FS_FIRST_META_BG: '2' },
  },
  {
    name: 'meta_bg, 32 bit, without sparse_super',
    sizeBytes: 32 * MiB,
    options: '-t ext4 -O meta_bg,^resize_inode,^64bit,^sparse_super -g 256 -N 2048 -b 1024',
  },
  { name: 'sparse_super2', sizeBytes: 48 * MiB, options: '-t ext4 -O sparse_super2,^resize_inode -b 1024' },
  {
    name: 'sparse_super2 with one backup and room to grow',
    sizeBytes: 48 * MiB,
    options: '-t ext4 -O sparse_super2 -E num_backup_sb=1,resize=200000 -b 1024',
  },
  { name: 'bigalloc', sizeBytes: 64 * MiB, options: '-t ext4 -O bigalloc -C 16384 -b 4096' },
  {
    name: 'bigalloc, 1K, clusters of 64K',
    sizeBytes: 64 * MiB + 5 * KiB,
    options: '-t ext4 -O bigalloc,^resize_inode -C 65536 -b 1024 -g 8192',
  },
  {
    name: 'checksum seed, quota, project, verity, casefold, encrypt',
    sizeBytes: 32 * MiB,
    options: '-t ext4 -O metadata_csum_seed,quota,project,verity,encrypt,casefold -I 256',
  },
  {
    name: 'inline_data, large_dir, ea_inode, mmp, fast_commit, orphan_file',
    sizeBytes: 48 * MiB,
    options: '-t ext4 -O inline_data,large_dir,ea_inode,mmp,fast_commit,orphan_file -b 1024',
  },
  {
    name: 'stable_inodes, no journal, large inodes',
    sizeBytes: 24 * MiB,
    options: '-t ext4 -O ^has_journal,stable_inodes -I 512',
  },
  {
    name: 'tables and journal not initialised',
    sizeBytes: 128 * MiB,
    options: '-t ext4 -E lazy_itable_init=1,lazy_journal_init=1 -b 1024',
  },
  { name: 'a tail behind it', sizeBytes: 24 * MiB, options: '-t ext4 -b 4096', blocks: 5000 },
  { name: 'smaller than a group', sizeBytes: 3 * MiB, options: '-t ext4 -b 1024 -O ^has_journal' },
  { name: 'a last group of few blocks', sizeBytes: 2 * 8 * MiB + 300 * KiB, options: '-t ext4 -b 1024' },
]

const TOGGLES = ['64bit', 'flex_bg', 'has_journal', 'inline_data', 'mmp', 'orphan_file', 'extent'] as const

/** Any combination of what changes where things lie; mke2fs refuses some of them. */
export const anyExt: fc.Arbitrary<ExtCase> = fc
  .record({
    blockBytes: fc.constantFrom(1024, 1024, 2048, 4096),
    sizeBlocks: fc.integer({ min: 3000, max: 40_000 }),
    tailBytes: fc.integer({ min: 0, max: 5000 }),
    checksums: fc.constantFrom('metadata_csum', '^metadata_csum,uninit_bg', '^metadata_csum,^uninit_bg'),
    copies: fc.constantFrom('sparse_super', '^sparse_super', 'sparse_super2'),
    growth: fc.constantFrom('resize_inode', '^resize_inode', '^resize_inode,meta_bg'),
    others: fc.subarray([
      '64bit',
      'flex_bg',
      'has_journal',
      'inline_data',
      'mmp',
      'orphan_file',
      'extent',
    ] as const),
    clusterBlocks: fc.constantFrom(1, 1, 1, 2, 16),
    groupBlocks: fc.constantFrom(undefined, 256, 512, 1000, 2048),
    flexGroups: fc.constantFrom(undefined, 2, 8, 64),
    inodes: fc.integer({ min: 200, max: 5000 }),
    firstMetaGroup: fc.constantFrom('0', '0', '1'),
  })
  .map((o): ExtCase => {
    const toggles = TOGGLES.map((name) => (o.others.includes(name) ? name : `^${name}`))
    const features = [o.checksums, o.copies, o.growth, ...toggles]
    const options = ['-t', 'ext4', '-b', o.blockBytes, '-N', o.inodes]
    if (o.clusterBlocks > 1) {
      features.push('bigalloc')
      options.push('-C', o.clusterBlocks * o.blockBytes)
    } else if (o.groupBlocks !== undefined) options.push('-g', o.groupBlocks)
    if (o.flexGroups !== undefined && o.others.includes('flex_bg')) options.push('-G', o.flexGroups)
    options.push('-O', features.join(','))
    return {
      name: options.join(' '),
      options: options.join(' '),
      sizeBytes: o.sizeBlocks * o.blockBytes + o.tailBytes,
      variables: { MKE2FS_FIRST_META_BG: o.firstMetaGroup },
    }
  })

/** Makes the filesystem, with the files of a folder in it. */
export function formatExt(
  path: string,
  { sizeBytes, options, blocks, variables = {} }: Omit<ExtCase, 'name'>,
  files?: string,
): void {
  emptyImage(path, sizeBytes)
  const filled = files === undefined ? [] : ['-d', files]
  const count = blocks === undefined ? [] : [`${blocks}`]
  runWith(
    { variables },
    'mke2fs',
    '-q',
    '-F',
    ...options.split(' '),
    '-L',
    'some label',
    ...filled,
    path,
    ...count,
  )
}

/** Removes every third file, so that there are gaps, and writes others, which go into them. */
export function changeFiles(image: string, folder: string): void {
  const added = `${image}.added`
  writeFileSync(added, Buffer.alloc(300_000, 'what was written later '))
  const removed = Object.keys(hashesOf(folder)).filter((_, i) => i % 3 === 0)
  const commands = [
    ...removed.map((path) => `rm ${path}`),
    'mkdir later',
    ...[1, 2, 3].map((n) => `write ${added} later/${n}`),
    'symlink link later/1',
  ]
  runWith({ input: `${commands.join('\n')}\n` }, 'debugfs', '-w', '-f', '-', image)
}

export const EXT_TOOLS: FilesystemTools = {
  check: (image) => run('e2fsck', '-fn', image),
  hashes: (image, scratch) => {
    rmSync(scratch, { recursive: true, force: true })
    mkdirSync(scratch)
    run('debugfs', '-R', `rdump / ${scratch}`, image)
    return hashesOf(scratch)
  },
  partclone: 'partclone.extfs',
}

/** What dumpe2fs says. */
export function dumpedExt(image: string): {
  /** Ascending runs of free blocks, `first-last`. */
  readonly free: readonly string[]
  readonly blockBytes: number
  readonly freeBlocks: number
  readonly uuid: string
  readonly text: string
} {
  const text = run('dumpe2fs', image)
  const number = (name: string) => Number(new RegExp(`^${name}: +(\\d+)$`, 'm').exec(text)?.[1])
  const blockBytes = number('Block size')
  const clusterBlocks = (number('Cluster size') || blockBytes) / blockBytes
  const ranges: [number, number][] = []
  for (const [, list] of text.matchAll(/^ {2}Free blocks: (.*)$/gm)) {
    for (const range of list!.split(', ').filter((item) => item !== '')) {
      const [first, last = first] = range.split('-').map(Number)
      // Of clusters the first block is told.
      ranges.push([first!, Math.min(last! + clusterBlocks, number('Block count')) - 1])
    }
  }
  return {
    free: mergedRanges(ranges),
    blockBytes,
    freeBlocks: number('Free blocks'),
    uuid: /^Filesystem UUID: +(\S+)$/m.exec(text)![1]!,
    text,
  }
}
