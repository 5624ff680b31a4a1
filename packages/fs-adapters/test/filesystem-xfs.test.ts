import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { probeFilesystem } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { finishedCrc32c } from '../dist/filesystems/common/crc32c.js'
import {
  copyWhileMounted,
  hashesOf,
  MemoryVolume,
  MiB,
  makeFiles,
  missing,
  run,
} from './filesystems/images.ts'
import { assertMapHolds, assertSuperset, freeRanges, mapOf } from './filesystems/used-map-conformance.ts'
import {
  anyXfs,
  cannotMountXfs,
  dumpedXfs,
  formatXfs,
  geometryOf,
  sealXfs,
  XFS_CASES,
  type XfsCase,
  xfsTools,
} from './filesystems/xfs-images.ts'

const skip = missing('mkfs.xfs', 'xfs_db', 'xfs_repair')
const LONG = process.env.PLATTER_LONG_TESTS === '1'

test('XFS: the map is that of xfs_db, and what is used is all that is needed', { skip }, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { totalBytes: 2 * MiB })
  const paths = Object.keys(hashesOf(files))
  const image = join(folder, 'image')
  for (const one of XFS_CASES) {
    formatXfs(image, one, files)
    try {
      const map = await assertMapHolds(image, xfsTools(paths))
      const { blockBytes } = geometryOf(image)
      t.match(map.filesystem, { type: 'xfs', label: 'some label', blockBytes }, one.name)
      t.ok(map.filesystem!.sizeBytes > one.sizeBytes - 65536)
      t.same(freeRanges(map, blockBytes), dumpedXfs(image), one.name)
    } catch (error) {
      t.fail(`${one.name}: ${error}`)
    }
  }
})

test('XFS after a life: mounted, filled, fragmented, its log gone round', {
  skip: skip || cannotMountXfs,
}, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { count: 900, totalBytes: 6 * MiB })
  const cases: Omit<XfsCase, 'name'>[] = [
    { sizeBytes: 48 * MiB, options: '-b size=1k -d agcount=2 -l size=4m -m rmapbt=0,reflink=0' },
    { sizeBytes: 64 * MiB, options: '-b size=1k -d agcount=2 -l size=8m -m rmapbt=1,reflink=1' },
  ]
  for (const one of cases) {
    const image = join(folder, 'image')
    const isRound = one.options.includes('size=4m')
    formatXfs(image, one)
    const copy = copyWhileMounted(image, join(folder, 'mnt'), 'xfs', (mountPoint) => {
      const last = join(mountPoint, 'last')
      // The log of the second one is too long for that.
      for (let round = 0; round < (isRound ? 40 : 1); round++) {
        rmSync(last, { recursive: true, force: true })
        run('cp', '-r', files, last)
        run('sync', '-f', mountPoint)
        if (logOf(readFileSync(image)).round > 1) break
      }
      const everySecond = Object.keys(hashesOf(files)).filter((_, i) => i % 2 === 0)
      for (const path of everySecond) rmSync(join(last, path))
    })
    const live = await mapOf(copy)
    t.match(live, { state: 'read-whole', problem: { code: 'not-clean' } }, one.options)
    const map = await assertMapHolds(image, xfsTools())
    t.same(freeRanges(map, 1024), dumpedXfs(image), one.options)
    t.ok([...map.extents()].length > 300, `${one.options} has trees of two levels`)
    if (isRound) t.ok(logOf(readFileSync(image)).round > 1, 'the log has gone round')
    run('xfs_admin', '-U', 'generate', image)
    t.equal((await mapOf(image)).problem?.code, 'not-clean', 'a log that was just made anew is not believed')
    copyWhileMounted(image, join(folder, 'mnt'), 'xfs', (mountPoint) =>
      rmSync(join(mountPoint, 'last/sub'), { recursive: true }),
    )
    await assertMapHolds(image, xfsTools())
  }
})

/** Where the log is, in bytes, and in which round it is. */
function logOf(bytes: Uint8Array): { readonly at: number; readonly blocks: number; readonly round: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const [blockBytes, groupBlocks, groupBits] = [view.getUint32(4), view.getUint32(84), view.getUint8(124)]
  const start = Number(view.getBigUint64(48))
  const block = Math.floor(start / 2 ** groupBits) * groupBlocks + (start % 2 ** groupBits)
  const at = block * blockBytes
  const isHeader = view.getUint32(at) === 0xfeedbabe
  return {
    at,
    blocks: (view.getUint32(96) * blockBytes) / 512,
    round: view.getUint32(isHeader ? at + 4 : at),
  }
}

/** A small filesystem in memory. */
function smallImage(folder: string, options: string): Uint8Array {
  const image = join(folder, 'small')
  const files = makeFiles(join(folder, `files-${Math.random()}`), { totalBytes: MiB })
  formatXfs(image, { sizeBytes: 34 * MiB, options: `-d agcount=2 ${options}` }, files)
  return new Uint8Array(readFileSync(image))
}

const VERSION_4 = '-m crc=0 -b size=1k -l size=4m'
const VERSION_5 = '-b size=1k -l size=4m -m rmapbt=0,reflink=0'

/** Makes changes, seals them where asked, looks, and takes them back. */
async function codeAfter(
  image: Uint8Array,
  change: (data: DataView) => void,
  isSealed: boolean,
): Promise<string | undefined> {
  const bytes = image.slice()
  change(new DataView(bytes.buffer))
  if (isSealed) sealXfs(bytes, 1024, finishedCrc32c)
  return (await probeFilesystem(new MemoryVolume(bytes))).problem?.code
}

test('XFS: whatever is not in order is read whole', { skip }, async (t) => {
  const folder = t.testdir()
  const [AGF, AGI, AGFL] = [512, 1024, 1536]
  const group = 17 * MiB
  const add = (d: DataView, at: number, by: number) => d.setUint32(at, d.getUint32(at) + by)
  const or = (d: DataView, at: number, bits: number) => d.setUint32(at, d.getUint32(at) | bits)
  const node = (d: DataView) => d.getUint32(AGF + 16) * 1024
  const bySize = (d: DataView) => d.getUint32(AGF + 20) * 1024
  type Case = readonly [code: string | undefined, change: (data: DataView) => void]
  const both: Record<string, Case> = {
    'nothing changed': [undefined, () => {}],
    'not finished': ['not-clean', (d) => d.setUint8(126, 1)],
    'version 6': ['unknown-feature', (d) => d.setUint16(100, (d.getUint16(100) & ~15) | 6)],
    'an unknown version flag': ['unknown-feature', (d) => d.setUint16(100, d.getUint16(100) | 0x200)],
    'an unknown further feature': ['unknown-feature', (d) => or(d, 200, 0x10)],
    'further features twice': ['inconsistent', (d) => d.setUint32(204, 0x8a ^ 0x80)],
    'a realtime device': ['opaque', (d) => d.setUint32(20, 4096)],
    'a log elsewhere': ['opaque', (d) => d.setBigUint64(48, 0n)],
    'a log behind the end': ['out-of-range', (d) => d.setBigUint64(48, 2n ** 50n)],
    'a log as long as that': ['out-of-range', (d) => d.setUint32(96, 2 ** 31)],
    'a log of no length': ['out-of-range', (d) => d.setUint32(96, 0)],
    'more blocks than the volume': ['inconsistent', (d) => add(d, 12, 2 ** 20)],
    '2^64 blocks': ['out-of-range', (d) => d.setBigUint64(8, 2n ** 64n - 1n)],
    'no blocks': ['inconsistent', (d) => d.setBigUint64(8, 0n)],
    'blocks of no size': ['inconsistent', (d) => d.setUint32(4, 0)],
    'sectors of no size': ['inconsistent', (d) => d.setUint16(102, 0)],
    'groups of no size': ['inconsistent', (d) => d.setUint32(84, 0)],
    'groups of 2^32': ['inconsistent', (d) => d.setUint32(84, 2 ** 32 - 1)],
    'one free block more': ['inconsistent', (d) => add(d, 148, 1)],
    'one inode more': ['inconsistent', (d) => add(d, 132, 1)],
    'one free inode more': ['inconsistent', (d) => add(d, 140, 1)],
    'the root folder behind the end': ['inconsistent', (d) => d.setBigUint64(56, 2n ** 40n)],
    'the root folder in free space': [
      'inconsistent',
      (d) => d.setBigUint64(56, BigInt((17 * 1024 - 1) << d.getUint8(123))),
    ],
    'a copy of another size': ['inconsistent', (d) => add(d, group + 12, 1)],
    'no copy': ['inconsistent', (d) => d.setUint32(group, 0)],
    'no header of free space': ['inconsistent', (d) => d.setUint32(group + AGF, 0)],
    'another version of a header': ['unknown-feature', (d) => d.setUint32(AGF + 4, 2)],
    'the header of another group': ['inconsistent', (d) => d.setUint32(AGF + 8, 1)],
    'a group of another length': ['inconsistent', (d) => add(d, AGI + 12, 1)],
    orphans: ['not-clean', (d) => d.setUint32(AGI + 40 + 4 * 63, 100)],
    'one free block more in a group': ['inconsistent', (d) => add(d, AGF + 52, 1)],
    'a longer run in a group': ['inconsistent', (d) => add(d, AGF + 56, 1)],
    'one free block more in a group and in all': [
      'inconsistent',
      (d) => {
        add(d, AGF + 52, 1)
        add(d, 148, 1)
      },
    ],
    'one node more in a group and in all': [
      'inconsistent',
      (d) => {
        add(d, AGF + 60, 1)
        add(d, 148, 1)
      },
    ],
    'one node more in a group': ['inconsistent', (d) => add(d, AGF + 60, 1)],
    'a root behind the end': ['out-of-range', (d) => d.setUint32(AGF + 16, 2 ** 32 - 2)],
    'a root in the log': ['inconsistent', (d) => d.setUint32(AGF + 16, 17)],
    'a tree of no levels': ['inconsistent', (d) => d.setUint32(AGF + 28, 0)],
    'a tree of 2^32 levels': ['inconsistent', (d) => d.setUint32(AGF + 28, 2 ** 32 - 1)],
    'a tree of two levels': ['inconsistent', (d) => d.setUint32(AGF + 28, 2)],
    'trees changed': ['inconsistent', (d) => d.setUint32(AGF + 16, d.getUint32(AGF + 20))],
    'the tree of inodes in free space': ['inconsistent', (d) => d.setUint32(AGI + 20, 17 * 1024 - 1)],
    'the tree of inodes behind the end': ['out-of-range', (d) => d.setUint32(AGI + 20, 17 * 1024)],
    'a longer reserve': ['inconsistent', (d) => add(d, AGF + 48, 1)],
    'a reserve that begins behind its list': ['inconsistent', (d) => d.setUint32(AGF + 40, 200)],
    'a reserve in free space': [
      'inconsistent',
      (d) => {
        for (let at = AGFL; at < AGFL + 512; at += 4)
          if (d.getUint32(at) === 6) d.setUint32(at, 17 * 1024 - 1)
      },
    ],
    'a node with 2^16 records': ['inconsistent', (d) => d.setUint16(node(d) + 6, 0xffff)],
    'a node with no records': ['inconsistent', (d) => d.setUint16(node(d) + 6, 0)],
    'a node of another level': ['inconsistent', (d) => d.setUint16(node(d) + 4, 1)],
    'a node with a neighbour': ['inconsistent', (d) => d.setUint32(node(d) + 12, 1)],
    'a node beside itself': ['inconsistent', (d) => d.setUint32(node(d) + 8, d.getUint32(AGF + 16))],
    'trees that differ': [
      'inconsistent',
      (d) => {
        const header = d.getUint16(100) % 16 === 5 ? 56 : 16
        add(d, bySize(d) + header + 4, -1)
      },
    ],
    'marks of LVM2': ['ambiguous', (d) => new Uint8Array(d.buffer).set(Buffer.from('LABELONE'), 1536)],
  }
  const only5: Record<string, Case> = {
    'a compatible feature': ['unknown-feature', (d) => or(d, 208, 1)],
    'an unknown read-only compatible feature': ['unknown-feature', (d) => or(d, 212, 0x10)],
    'an unknown incompatible feature': ['unknown-feature', (d) => or(d, 216, 0x100)],
    'an unknown feature of the log': ['unknown-feature', (d) => or(d, 220, 2)],
    'exchanged ranges, parent pointers': [undefined, (d) => or(d, 216, 0xc0)],
    'in need of repair': ['has-errors', (d) => or(d, 216, 0x10)],
    'another UUID': ['inconsistent', (d) => add(d, 32, 1)],
    'another UUID of metadata': ['inconsistent', (d) => or(d, 216, 4)],
    'a node of another group': ['inconsistent', (d) => d.setUint32(node(d) + 48, 1)],
    'a node of another place': ['inconsistent', (d) => add(d, node(d) + 20, 2)],
    'a node of another filesystem': ['inconsistent', (d) => add(d, node(d) + 32, 1)],
    'a reserve of another group': ['inconsistent', (d) => d.setUint32(AGFL + 4, 1)],
  }
  const [four, five] = [smallImage(folder, VERSION_4), smallImage(folder, VERSION_5)]
  for (const [name, [code, change]] of Object.entries(both)) {
    t.equal(await codeAfter(four, change, false), code, `version 4: ${name}`)
    t.equal(await codeAfter(five, change, true), code, `version 5: ${name}`)
  }
  for (const [name, [code, change]] of Object.entries(only5)) {
    t.equal(await codeAfter(five, change, true), code, `version 5: ${name}`)
    // What features there are is looked at first: it says whether there is a checksum.
    if (code !== undefined && code !== 'unknown-feature')
      t.equal(await codeAfter(five, change, false), 'bad-checksum', `not sealed: ${name}`)
  }
  for (const size of [34 * MiB - 1024, 20 * MiB, 4096, 512]) {
    t.equal(
      (await probeFilesystem(new MemoryVolume(five.subarray(0, size)))).problem?.code,
      'out-of-range',
      `${size}`,
    )
  }
})

test('XFS: the log says whether it was unmounted', { skip: skip || missing('xfs_logprint') }, async (t) => {
  const folder = t.testdir()
  const image = smallImage(folder, VERSION_4)
  const { at, blocks } = logOf(image)
  const data = new DataView(image.buffer)
  const record = image.slice(at, at + 1024)
  const path = join(folder, 'log')
  /** The log with an unmount record that ends at `head`, in round 7. */
  const lay = (head: number, change: (log: DataView) => void = () => {}): void => {
    for (let block = 0; block < blocks; block++) {
      image.fill(0, at + block * 512, at + block * 512 + 512)
      data.setUint32(at + block * 512, block < head ? 7 : 6)
    }
    const start = (head - 2 + blocks) % blocks
    for (const [i, block] of [start, (start + 1) % blocks].entries()) {
      image.set(record.subarray(512 * i, 512 * i + 512), at + block * 512)
      data.setUint32(at + block * 512 + (i === 0 ? 4 : 0), block < head ? 7 : 6)
    }
    data.setUint32(at + start * 512 + 16, start < head ? 7 : 6)
    data.setUint32(at + start * 512 + 20, start)
    change(new DataView(image.buffer, at, blocks * 512))
  }
  const isClean = async () => {
    const map = await probeFilesystem(new MemoryVolume(image))
    if (map.problem !== undefined) t.equal(map.problem.code, 'not-clean', map.problem.message)
    return map.problem === undefined
  }
  const toolSaysClean = () => {
    writeFileSync(path, image)
    return run('xfs_logprint', '-t', path).includes('<CLEAN>')
  }
  for (const head of [2, 3, 700, blocks >> 1, blocks - 1, 1]) {
    lay(head)
    t.ok(await isClean(), `head at ${head}`)
    t.ok(toolSaysClean(), `xfs_logprint: head at ${head}`)
  }
  const dirty: Record<string, (log: DataView) => void> = {
    'no flag': (d) => d.setUint8(699 * 512 + 9, 0),
    'another client': (d) => d.setUint8(699 * 512 + 8, 0x69),
    'two operations': (d) => d.setUint32(698 * 512 + 40, 2),
    'a block more was written': (d) => d.setUint32(700 * 512, 7),
    'a hole before it': (d) => d.setUint32(300 * 512, 6),
    'a hole behind it': (d) => d.setUint32(1300 * 512, 7),
    'a round that was never': (d) => d.setUint32(0, 9),
  }
  for (const [name, change] of Object.entries(dirty)) {
    lay(700, change)
    t.notOk(await isClean(), name)
  }
  lay(700)
  data.setUint32(at + 698 * 512 + 304, 1)
  t.equal(
    (await probeFilesystem(new MemoryVolume(image))).problem?.code,
    'inconsistent',
    'of another filesystem',
  )
  image.fill(0, at, at + blocks * 512)
  t.notOk(await isClean(), 'zeros')
})

/** Bytes that the survey relies on: the headers of both groups, the nodes of their trees. */
function metadataBytes(image: Uint8Array): number[] {
  const data = new DataView(image.buffer, image.byteOffset)
  const { at: log } = logOf(image)
  const starts: [start: number, length: number][] = [[log, 1024]]
  for (const group of [0, 17 * MiB]) {
    starts.push([group, 2048])
    for (const root of [16, 20]) starts.push([group + data.getUint32(group + 512 + root) * 1024, 120])
  }
  return starts.flatMap(([start, length]) => Array.from({ length }, (_, i) => start + i))
}

test('XFS: no byte that is damaged loses a used block', { skip }, async (t) => {
  const folder = t.testdir()
  for (const [version, options] of [VERSION_4, VERSION_5].entries()) {
    const image = smallImage(folder, options)
    const used = [...(await probeFilesystem(new MemoryVolume(image))).extents()]
    t.ok(used.length > 3)
    let value = 1
    for (const [i, at] of metadataBytes(image).entries()) {
      // Every byte of the superblock, and some of all others.
      if (!LONG && at >= 512 && i % 7 !== 0) continue
      const before = image[at]!
      for (const bit of LONG ? [1, 2, 4, 8, 16, 32, 64, 128] : [(value = (value * 5) % 257) & 255 || 1]) {
        image[at] = before ^ bit
        const map = await probeFilesystem(new MemoryVolume(image))
        try {
          assertSuperset(map.extents(), used)
        } catch (error) {
          t.fail(`version ${version + 4}: bits ${bit} of byte ${at}: ${error}`)
        }
      }
      image[at] = before
    }
  }
})

test('XFS with any options', { skip }, async (t) => {
  const folder = t.testdir()
  const files = makeFiles(join(folder, 'files'), { totalBytes: MiB })
  const image = join(folder, 'image')
  let made = 0
  await fc.assert(
    fc.asyncProperty(anyXfs, async (one) => {
      try {
        formatXfs(image, one, files)
      } catch {
        return // mkfs.xfs refuses it
      }
      made++
      const map = await assertMapHolds(image, xfsTools(Object.keys(hashesOf(files))), { withPartclone: LONG })
      assertSuperset(map.extents(), [])
      t.same(freeRanges(map, geometryOf(image).blockBytes), dumpedXfs(image), one.name)
    }),
    { numRuns: LONG ? 150 : 6, seed: LONG ? Date.now() | 0 : 3 },
  )
  t.comment(`${made} were made`)
  t.ok(made > 2)
})

test('XFS of many TiB', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  formatXfs(image, { sizeBytes: 12 * 2 ** 40 + 12345, options: '-l size=64m -s size=4096' })
  const map = await mapOf(image)
  t.equal(map.problem, undefined)
  t.same(freeRanges(map, 4096), dumpedXfs(image))
  rmSync(image)
})
