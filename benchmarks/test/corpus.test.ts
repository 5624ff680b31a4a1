import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstat, mkdir, open, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import {
  type CorpusManifest,
  type CorpusOptions,
  extractRootPartition,
  growToTebibyte,
  makeCorpus,
  makeDemoDisk,
} from '@platter/benchmarks/corpus'
import t, { type Test } from 'tap'
import { makeSourceTree } from './source-tree-fixture.ts'

const DISK_BYTES = 64 * 2 ** 20
const DATA_BYTES = 4e6
const NAMES = ['A', 'B', 'C'] as const

process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`

for (const filesystem of ['ext4', 'synthetic'] as const) {
  const missing = filesystem === 'ext4' && !isInstalled('mke2fs') ? 'e2fsprogs is not installed' : false
  t.test(`a corpus of ${filesystem} disks`, { skip: missing }, async (t) => {
    const sources = [join(t.testdir(), 'source')]
    await makeSourceTree(sources[0]!)
    const make = (folder: string, more: Partial<CorpusOptions> = {}) =>
      makeCorpus({
        folder: join(t.testdirName, folder),
        diskBytes: DISK_BYTES,
        dataBytes: DATA_BYTES,
        sources,
        filesystem,
        ...more,
      })
    const corpus = await make('one')

    t.test('is the same when it is made again', async (t) => {
      const again = await make('two')
      for (const name of NAMES) {
        t.equal(await hashOf(again.paths[name]), await hashOf(corpus.paths[name]), name)
      }
      t.equal(await hashOf(again.packed), await hashOf(corpus.packed))
    })

    t.test('is left alone when it is there, and replaced when it is not what is wanted', async (t) => {
      const { ino, mtimeMs } = await stat(corpus.paths.A)
      t.same(await make('one'), corpus)
      t.match(await stat(corpus.paths.A), { ino, mtimeMs })
      const other = await make('three')
      const larger = await make('three', { dataBytes: 2 * DATA_BYTES })
      t.ok(larger.packedBytes > other.packedBytes)
    })

    t.test('has three different, sparse disks', async (t) => {
      const hashes = await Promise.all(NAMES.map((name) => hashOf(corpus.paths[name])))
      t.equal(new Set(hashes).size, 3)
      for (const name of NAMES) {
        const { size, blocks } = await lstat(corpus.paths[name])
        t.equal(size, DISK_BYTES)
        t.ok(blocks * 512 < DISK_BYTES / 2, `${name} is sparse`)
      }
      t.ok(corpus.files.removed > 0 && corpus.files.added > 0)
      t.ok(corpus.packedBytes >= DATA_BYTES && corpus.packedBytes < 2 * DATA_BYTES)
    })

    t.test('has a valid partition table on each disk', async (t) => {
      for (const name of NAMES) await checkPartitionTable(t, corpus.paths[name])
    })

    if (filesystem === 'ext4') await checkExt4(t, corpus)
  })
}

t.test('what the source tree lacks is made up', async (t) => {
  const folder = t.testdir()
  const sources = [join(folder, 'nothing')]
  const sizes = { diskBytes: DISK_BYTES, dataBytes: DATA_BYTES }
  const corpus = await makeCorpus({ folder, ...sizes, sources, filesystem: 'synthetic' })
  t.ok(corpus.packedBytes >= DATA_BYTES)
  t.ok(corpus.files.installed > 4)
})

t.test('sizes that make no disk are refused', async (t) => {
  const folder = t.testdir()
  await t.rejects(makeCorpus({ folder, diskBytes: DISK_BYTES + 1, filesystem: 'synthetic' }), RangeError)
  const tooMuch = {
    diskBytes: DISK_BYTES,
    dataBytes: DISK_BYTES,
    sources: [],
    filesystem: 'synthetic',
  } as const
  await t.rejects(makeCorpus({ folder, ...tooMuch }), { message: /do not fit/ })
})

t.test('the demonstration disk is made twice the same, with a part of it changed', async (t) => {
  const folder = t.testdir()
  const sizes = { diskBytes: DISK_BYTES, dataBytes: 20e6 }
  const one = await makeDemoDisk({ folder: join(folder, 'one'), ...sizes })
  const two = await makeDemoDisk({ folder: join(folder, 'two'), ...sizes })
  t.equal(await hashOf(one.before), await hashOf(two.before))
  t.equal(await hashOf(one.after), await hashOf(two.after))
  await checkPartitionTable(t, one.after)
  const [before, after] = [await readFile(one.before), await readFile(one.after)]
  let changedBlocks = 0
  for (let at = 0; at < before.length; at += 4096) {
    if (!before.subarray(at, at + 4096).equals(after.subarray(at, at + 4096))) changedBlocks++
  }
  t.ok(changedBlocks * 4096 > 0.02 * sizes.dataBytes && changedBlocks * 4096 < 0.1 * sizes.dataBytes)
})

async function checkExt4(t: Test, corpus: CorpusManifest): Promise<void> {
  const at = (name: (typeof NAMES)[number]) => `${corpus.paths[name]}?offset=${corpus.root.offset}`

  t.test('passes e2fsck', async (t) => {
    for (const name of NAMES) {
      const { status, stdout } = spawnSync('e2fsck', ['-fn', at(name)], { encoding: 'utf8' })
      t.equal(status, 0, stdout)
    }
  })

  t.test('has the same files on B and C, and not on A', async (t) => {
    const [a, b, c] = await Promise.all(NAMES.map((name) => dump(at(name), join(t.testdirName, name))))
    t.equal(a!.size, corpus.files.installed)
    t.equal(b!.size, corpus.files.installed - corpus.files.removed + corpus.files.added)
    t.same([...c!].sort(), [...b!].sort())
    t.equal([...b!.keys()].filter((path) => !a!.has(path)).length, corpus.files.added)
    const paths = [...a!.keys()].map((path) => path.split('/source/').at(-1)).join('\n')
    t.notMatch(paths, /secret|space|<12>|link/)
    // Which files are chosen follows from their whole paths, so from where the checkout is.
    t.match(paths, /package-\d+\/file-\d.txt/)
  })

  t.test('gives its root partition alone, and a huge disk', async (t) => {
    const partition = await extractRootPartition(corpus)
    t.equal(spawnSync('e2fsck', ['-fn', partition]).status, 0)
    t.equal((await stat(partition)).size, corpus.root.length)
    const huge = await stat(await growToTebibyte(corpus))
    t.equal(huge.size, 2 ** 40)
    t.ok(huge.blocks * 512 < DISK_BYTES)
  })
}

/** Reads all files of an ext4 filesystem: path to hash. */
async function dump(filesystem: string, folder: string): Promise<Map<string, string>> {
  await mkdir(folder, { recursive: true })
  spawnSync('debugfs', ['-R', `rdump / "${folder}"`, filesystem])
  const files = new Map<string, string>()
  for (const item of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!item.isFile()) continue
    const path = join(item.parentPath, item.name)
    files.set(path.slice(folder.length), await hashOf(path))
  }
  return files
}

async function checkPartitionTable(t: Test, path: string): Promise<void> {
  await using image = await open(path)
  const { size } = await image.stat()
  for (const [at, other] of [
    [1, size / 512 - 1],
    [size / 512 - 1, 1],
  ] as const) {
    const header = Buffer.alloc(512)
    await image.read(header, 0, 512, at * 512)
    t.equal(header.toString('latin1', 0, 8), 'EFI PART')
    t.equal(Number(header.readBigUInt64LE(24)), at)
    t.equal(Number(header.readBigUInt64LE(32)), other)
    const entries = Buffer.alloc(128 * 128)
    await image.read(entries, 0, entries.length, Number(header.readBigUInt64LE(72)) * 512)
    t.equal(crc32(entries), header.readUInt32LE(88))
    const expected = header.readUInt32LE(16)
    header.writeUInt32LE(0, 16)
    t.equal(crc32(header.subarray(0, 92)), expected)
  }
  if (isInstalled('sgdisk')) {
    const { stdout } = spawnSync('sgdisk', ['-v', path], { encoding: 'utf8' })
    t.match(stdout, /No problems found/)
  }
}

function isInstalled(program: string): boolean {
  return spawnSync(program, ['-V']).error === undefined
}

async function hashOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
}
