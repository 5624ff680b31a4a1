// docs/embedding.md, docs/disks.md and the READMEs: every block of TypeScript compiles, and does what the text says.
import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { BlockSource, BlockTarget, Store } from '@platter/core'
import { LocalStore, MemorySource, MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import { storeConformance } from '@platter/fs-adapters/testing'
import { Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import { compileExamples, type Example, examplesIn, runNode } from './doc-examples/examples.ts'
import type { Ran } from './doc-examples/run-examples.ts'
import { noise } from './harness.ts'

const DOCUMENTS = [
  ['docs/embedding.md', 'embedding'],
  ['docs/disks.md', 'disks'],
  ['packages/core/README.md', 'core'],
  ['packages/repo/README.md', 'repo'],
  ['packages/fs-adapters/README.md', 'adapters'],
  ['packages/cli/README.md', 'cli'],
] as const
const MIB = 1024 ** 2
const RUNNER = fileURLToPath(new URL('./doc-examples/run-examples.js', import.meta.url))

/** Below a package that has all others; short paths elsewhere, as those of sockets are limited. */
const compiled = await mkdtemp(fileURLToPath(new URL('./compiled-examples-', import.meta.url)))
const root = await mkdtemp(join(tmpdir(), 'platter-docs-'))
const examples = (await Promise.all(DOCUMENTS.map(([path, prefix]) => examplesIn(path, prefix)))).flat()

function named(part: string): Example {
  const found = examples.filter(({ name }) => name.includes(part))
  if (found.length !== 1) throw new Error(`${found.length} examples are called ${part}.`)
  return found[0]!
}

function pathOf({ name }: Example): string {
  return join(compiled, `${name}.js`)
}

/** Blocks that only define something, or are a test. */
const NOT_RUN: readonly Example[] = [
  'your-own-store',
  'your-own-source',
  'your-own-target',
  'authors-of-stores',
].flatMap((part) => examples.filter(({ name }) => name.includes(part)))
const RUN = examples.filter((example) => !NOT_RUN.includes(example))

/** A disk with two partitions, after it was changed, and a repository with snapshots of what it was. */
async function makeWorld(): Promise<{ readonly world: string; readonly oldest: string }> {
  const world = join(root, 'world')
  await mkdir(world)
  const disk = noise(2 * MIB, 'disk')
  disk.fill(0, 446, 510)
  partition(disk, 0, 64, 1024)
  partition(disk, 1, 2048, 1024)
  disk.set([0x55, 0xaa], 510)
  const store = await LocalStore.create(join(world, 'lab'))
  await Repository.init(store, { crypto: 'none' })
  await using repository = await Repository.open(store)
  let oldest = ''
  for (let change = 0; change < 3; change++) {
    disk.set(noise(4096, `change ${change}`), MIB)
    const { id } = await repository.backup(new MemorySource(disk), { name: 'web-01/sda', workers: 0 })
    oldest ||= id
  }
  await writeFile(join(world, 'sda'), disk)
  await writeFile(join(world, 'disk.img.gz'), gzipSync(disk))
  return { world, oldest }
}

/** Writes an entry of an MBR; `start` and `length` are in sectors. */
function partition(disk: Uint8Array, entry: number, start: number, length: number): void {
  const view = new DataView(disk.buffer, disk.byteOffset + 446 + entry * 16, 16)
  view.setUint8(4, 0x83)
  view.setUint32(8, start, true)
  view.setUint32(12, length, true)
}

/** The folder an example runs in. @param at number of the example: paths of sockets must be short. */
async function folderFor({ name, code }: Example, world: string, at: number): Promise<string> {
  const folder = join(root, String(at))
  await cp(world, folder, { recursive: true })
  // Those that make the repository; one needs a disk under another name.
  if (/Repository\.init|LocalStore\.create/.test(code)) await rm(join(folder, 'lab'), { recursive: true })
  if (name.startsWith('repo-')) await cp(join(world, 'sda'), join(folder, 'disk.img'))
  if (name.includes('-keys-')) {
    await rm(join(folder, 'lab'), { recursive: true })
    const keyFile = noise(32, 'key')
    await writeFile(join(folder, 'lab.key'), keyFile)
    await Repository.init(await LocalStore.create(join(folder, 'lab')), { keyFile })
  }
  return folder
}

/** The same program with the places of the test for those of the document. */
function placed(example: Example, folder: string, oldest: string): Example {
  const places: readonly (readonly [string, string])[] = [
    ['/backups/lab', 'lab'],
    ['/dev/sda', 'sda'],
    ['/dev/sdb', 'sdb'],
    ['/root/lab.key', 'lab.key'],
    ['/run/web-01.sock', 's'],
    ['/var/tmp/web-01.overlay', 'overlay'],
    ['/var/lib/my-tool/lab.pin', 'lab.pin'],
  ]
  let { code } = example
  for (const [from, to] of places) code = code.replaceAll(`'${from}'`, `'${join(folder, to)}'`)
  return { ...example, code: code.replace('5f0fd6ab', oldest.slice(0, 8)) }
}

const { world, oldest } = await makeWorld()
const folders = new Map<Example, string>()
for (const [at, example] of RUN.entries()) folders.set(example, await folderFor(example, world, at))

test('every block of TypeScript compiles', { timeout: 300_000 }, async (t) => {
  const programs = examples.map((example) => placed(example, folders.get(example) ?? root, oldest))
  await compileExamples(compiled, programs)
  t.ok(examples.length > 20, `${examples.length} of them`)
  for (const [path, prefix] of DOCUMENTS)
    t.ok(
      examples.some(({ name }) => name.startsWith(`${prefix}-`)),
      path,
    )
})

/** What examples print, where the text says what it means. */
const PRINTED: readonly (readonly [string, readonly RegExp[]])[] = [
  ['embedding-keys', [/^[0-9a-f]{32} key-file/]],
  ['embedding-backup', [/^[0-9a-f]{32}: 2097152 bytes, 2097152 read, 0 new, grew by \d+, [\d.]+ s$/]],
  ['embedding-snapshots', [/web-01\/sda/, /web-01\/sda/, /web-01\/sda/]],
  ['embedding-restore', [/^2097152 bytes written, 0 were there already$/]],
  ['embedding-read-an-image', [/^has a boot signature$/, /^data 0 2097152$/]],
  ['embedding-a-snapshot-as-a-live-disk', [/^nbd\+unix:\/\/\/sda\?socket=/]],
  ['embedding-compare', [/^at most [1-9]\d* bytes differ$/]],
  ['embedding-check', []],
  ['embedding-repair', []],
  ['embedding-errors', [/snapshots: 3/]],
  ['core-', [/^true false$/]],
  ['repo-', [/^[0-9a-f]{32} 2097152$/, /^sound$/]],
]

test('those that are programs run', { timeout: 300_000 }, async (t) => {
  const runs = RUN.map((example) => ({ file: pathOf(example), folder: folders.get(example)! }))
  const { code, output } = await runNode([RUNNER, JSON.stringify(runs)], root)
  t.equal(code, 0, 'they end well')
  if (code !== 0) t.comment(output)
  const ran = output
    .split('\n')
    .filter((line) => line.startsWith('{"file"'))
    .map((line) => JSON.parse(line) as Ran)
  t.equal(ran.length, RUN.length)
  for (const { file, error } of ran) t.equal(error, undefined, file.slice(compiled.length + 1))
  for (const [name, expected] of PRINTED) {
    const { lines } = ran.find(({ file }) => file.slice(compiled.length + 1).startsWith(name))!
    if (expected.length === 0) t.same(lines, [], `${name} has nothing to say`)
    for (const [i, pattern] of expected.entries()) t.match(lines[i], pattern, name)
  }
  const restored = await readFile(join(folderOf('embedding-restore-'), 'sdb'))
  t.ok(restored.equals(await readFile(join(world, 'sda'))), 'the example of a restore restores')
})

function folderOf(part: string): string {
  return folders.get(RUN.find(({ name }) => name.includes(part))!)!
}

async function load<T>(example: Example): Promise<T> {
  return (await import(pathToFileURL(pathOf(example)).href)) as T
}

/** The service that the example of a store is for. */
class Bucket {
  readonly #objects = new Map<string, Uint8Array>()

  async read(key: string, range?: { from: number; length: number }): Promise<Uint8Array | 'absent'> {
    const { from, length } = range ?? { from: 0, length: Number.POSITIVE_INFINITY }
    return this.#objects.get(key)?.subarray(from, from + length) ?? 'absent'
  }

  async head(key: string): Promise<{ size: number } | 'absent'> {
    const object = this.#objects.get(key)
    return object === undefined ? 'absent' : { size: object.length }
  }

  async create(key: string, body: Uint8Array): Promise<'created' | 'taken'> {
    if (this.#objects.has(key)) return 'taken'
    this.#objects.set(key, body)
    return 'created'
  }

  async remove(key: string): Promise<void> {
    this.#objects.delete(key)
  }

  /** Three at a time, so that a listing has more than one page. */
  async page(prefix: string, after = ''): Promise<{ items: { key: string; size: number }[]; next?: string }> {
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort()
    const items = keys.slice(0, 3).map((key) => ({ key, size: this.#objects.get(key)!.length }))
    return { items, ...(keys.length > 3 ? { next: keys[2]! } : {}) }
  }
}

test('the store of the document is one', { timeout: 300_000 }, async (t: Test) => {
  const [example] = examples.filter(({ code }) => code.includes('class BucketStore'))
  const { BucketStore } = await load<{ BucketStore: new (label: string, bucket: Bucket) => Store }>(example!)
  for (const { name, run } of storeConformance(async () => new BucketStore('bucket', new Bucket())))
    await t.test(name, run)
})

test('the source and the target of the document back up and restore', async (t) => {
  const disk = noise(300_000, 'remote').fill(0, 65_536, 262_144)
  const { RemoteDisk } = await load<{
    RemoteDisk: new (
      label: string,
      sizeBytes: number,
      allocated: readonly { readonly offset: number; readonly length: number }[],
      readAt: (offset: number, length: number) => Promise<Uint8Array>,
    ) => BlockSource
  }>(named('your-own-source'))
  const { Sha256Target } = await load<{ Sha256Target: new () => BlockTarget & { digest(): string } }>(
    named('your-own-target'),
  )
  const store = new MemoryStore()
  await Repository.init(store, { crypto: 'none' })
  await using repository = await Repository.open(store)
  let bytesRead = 0
  const allocated = [
    { offset: 0, length: 65_536 },
    { offset: 262_144, length: 300_000 - 262_144 },
  ]
  const source = new RemoteDisk('remote', disk.length, allocated, async (offset, length) => {
    bytesRead += Math.min(length, disk.length - offset)
    return disk.subarray(offset, offset + length)
  })
  const { id } = await repository.backup(source, { workers: 0 })
  t.equal(bytesRead, 65_536 + 300_000 - 262_144, 'holes are not read')
  const target = new Sha256Target()
  await repository.restore(id, target, { workers: 0 })
  t.equal(target.digest(), createHash('sha256').update(disk).digest('hex'))
  const copy = new MemoryTarget()
  await repository.restore(id, copy, { workers: 0 })
  t.ok(disk.equals(copy.bytes))
})

test('the examples of tests are tests that pass', { timeout: 300_000 }, async (t) => {
  const [example] = NOT_RUN.filter(
    ({ code }) => code.includes('MemoryStore') && code.includes('storeConformance'),
  )
  const { code, output } = await runNode([pathOf(example!)], root)
  t.equal(code, 0, output)
  t.match(output, /pass [1-9]/)
})

test('the folders go', async () => {
  for (const folder of [compiled, root]) await rm(folder, { recursive: true, force: true })
})
