// System calls below a repository in a folder that fail: nothing half committed, nothing lost, and the truth told.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LocalStore, type StoreFileSystem } from '@platter/fs-adapters'
import {
  FaultFileSystem,
  type FileSystemCall,
  FullFileSystem,
  PowerCutFileSystem,
} from '@platter/fs-adapters/testing'
import { type PruneReport, Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import {
  assertSound,
  backUp,
  codeOf,
  collected,
  ENCRYPTED,
  KEY_FILE,
  noise,
  objectNames,
  restored,
  sameBytes,
} from './adversity.ts'
import { runCampaign } from './io-campaign/campaign.ts'
import { copyFolder, makeWorlds, removeFolder } from './io-campaign/worlds.ts'

const IS_LONG = process.env.PLATTER_LONG_TESTS === '1'
/** One fault in so many. Prime, so that all codes and calls come up. */
const STRIDE = IS_LONG ? 1 : 211

test('whatever system call fails: no half commit, a true error, and it works when done again', {
  timeout: IS_LONG ? 20_000_000 : 300_000,
}, async (t) => {
  const summaries = await runCampaign({
    stride: STRIDE,
    onProblem: (operation, fault, { code, hit, problems }) =>
      t.fail(`${operation}, ${JSON.stringify(fault)}, ${hit}: ${code}; ${problems.join('; ')}`),
  })
  for (const { operation, faults, missed, failed, succeeded } of summaries)
    t.ok(missed < faults / 4 && failed > 0, `${operation}: ${failed} failed, ${succeeded} succeeded`)
})

const { root, worlds } = await makeWorlds()
const USED = worlds.used
let copies = 0

/** A copy of a repository with two snapshots, garbage, and what a dead writer left. */
function copyOfUsed(): string {
  const path = join(root, `copy-${copies++}`)
  copyFolder(USED.folder, path)
  return path
}

/** A copy whose removal of files makes room: it shares none with another. */
function unsharedCopyOfUsed(): string {
  const path = join(root, `copy-${copies++}`)
  cpSync(USED.folder, path, { recursive: true })
  return path
}

async function openWith(path: string, fileSystem: StoreFileSystem): Promise<Repository> {
  return await Repository.open(new LocalStore(path, { fileSystem }), { keyFile: KEY_FILE })
}

const PRUNE = { patienceSeconds: 0, maxUnusedFraction: 0 }

/** Calls of one kind, by path, that a prune makes. */
async function callsOfPrune(call: FileSystemCall): Promise<string[]> {
  const path = copyOfUsed()
  const fileSystem = new FaultFileSystem()
  fileSystem.arm()
  await (await openWith(path, fileSystem)).prune(undefined, PRUNE)
  return fileSystem.log.filter((entry) => entry.call === call).map((entry) => entry.path.replace(path, ''))
}

test('a list that is short without an error: what lives and is not seen stops a prune', {
  timeout: 120_000,
}, async (t) => {
  const listings = await callsOfPrune('readdir')
  let stopped = 0
  for (const [index, folder] of listings.entries()) {
    // Which snapshots there are, only their list says; one that is left out is not missed.
    if (/^\/(snapshots|keys)/.test(folder)) continue
    const path = copyOfUsed()
    const before = await objectNames(new LocalStore(path))
    const fileSystem = new FaultFileSystem({ call: 'readdir', index, code: '', when: 'short' })
    fileSystem.arm()
    const code = await codeOf(openWith(path, fileSystem).then((repo) => repo.prune(undefined, PRUNE)))
    const what = `list ${index}, of ${fileSystem.hit?.path.replace(path, '')}: ${code}`
    if (code !== 'success') {
      t.match(code, /^ERR_(CHUNK_MISSING|NOT_FOUND|CORRUPT_INDEX)$/, what)
      const after = await objectNames(new LocalStore(path))
      t.same(
        before.filter((name) => !after.includes(name)),
        [],
        `${what}: nothing was removed`,
      )
      stopped++
    }
    await assertSound(t, new LocalStore(path), USED.snapshots, what)
    removeFolder(path)
  }
  t.ok(stopped > 3, `${stopped} of ${listings.length} lists stopped it`)
})

test('a tombstone that was not durable when a prune relied on it', async (t) => {
  const path = copyOfUsed()
  const disk = new PowerCutFileSystem(`${path}.removed`)
  const [oldest, newest] = [...USED.snapshots.keys()]
  const fault = { call: 'sync', index: 1, code: 'EIO', when: 'before' } as const
  const faulty = new FaultFileSystem(fault, undefined, disk)
  const forgetter = await openWith(path, faulty)
  faulty.arm()
  t.equal(await codeOf(forgetter.forget(oldest!)), 'ERR_STORE_IO')
  t.match(faulty.hit?.path, /forget$/)
  const repo = await openWith(path, disk)
  t.match(await repo.prune(undefined, PRUNE), { outcome: 'done' })
  await disk.cutPower()
  const left = new Map([[newest!, USED.snapshots.get(newest!)!]])
  await assertSound(t, new LocalStore(path), left, 'after the power cut')
})

test('an index segment that was not durable when a backup relied on it', async (t) => {
  const image = noise('of two writers', 120_000)
  const probe = new FaultFileSystem()
  const folder = copyOfUsed()
  probe.arm()
  await backUp(await openWith(folder, probe), image, { name: 'probe' })
  const syncs = probe.log.filter(({ call }) => call === 'sync').map(({ path }) => path.replace(folder, ''))
  // Of the segment's own folder, and of the one above it, which is where that is entered.
  const points = [...syncs.entries()].filter(([, path]) => /^\/index(\/[0-9a-f]{32})?$/.test(path))
  t.same(new Set(points.map(([, path]) => path.split('/').length)), new Set([2, 3]), points.join(' '))
  for (const [index, which] of points) {
    const path = copyOfUsed()
    const disk = new PowerCutFileSystem(`${path}.removed`)
    // Its writer cannot sync anything from there on, and is gone then.
    const fault = { call: 'sync', index, code: 'EIO', when: 'before', sticky: true } as const
    const faulty = new FaultFileSystem(fault, undefined, disk)
    const died = await openWith(path, faulty)
    faulty.arm()
    t.equal(await codeOf(backUp(died, image, { name: 'died' })), 'ERR_STORE_IO', which)
    t.match(faulty.hit?.path, /\/index(\/|$)/)

    const { id, stats } = await backUp(await openWith(path, disk), image, { name: 'relying' })
    t.equal(stats.bytesNew, 0, 'it relies on what the dead writer listed')
    await disk.cutPower()
    const left = new Map([...USED.snapshots, [id, image] as const])
    await assertSound(t, new LocalStore(path), left, `after the power cut, ${which}`)
  }
})

/** Fills a store to its last byte, prunes it, and says what came of it. */
async function pruneWhenFull(
  t: Test,
  path: string,
  fileSystem: StoreFileSystem,
  fill: () => Promise<void>,
): Promise<PruneReport> {
  const repo = await openWith(path, fileSystem)
  await fill()
  t.equal(await codeOf(backUp(repo, noise('too much', 3_000_000))), 'ERR_STORE_FULL', 'it is full')
  await fill()
  const report = await repo.prune(undefined, PRUNE)
  t.match(report, { outcome: 'done' })
  t.ok(report.bytesRemoved > 0, `${report.bytesRemoved} bytes were removed`)
  return report
}

test('a full disk can be pruned, and prune has no need for more than its reserve', async (t) => {
  for (const leftBytes of [0, 1, 100, 500, 1000, 4096]) {
    const path = unsharedCopyOfUsed()
    const fileSystem = new FullFileSystem()
    await pruneWhenFull(t, path, fileSystem, async () => {
      fileSystem.freeBytes = leftBytes
    })
    t.ok(fileSystem.freeBytes >= 0)
    const { snapshots } = USED
    fileSystem.freeBytes = Number.POSITIVE_INFINITY
    await assertSound(t, new LocalStore(path, { fileSystem }), snapshots, `${leftBytes} bytes left`)
    t.ok(statSync(join(path, '.tmp', 'reserve')).size >= 4 << 20, 'space is kept back again')
    removeFolder(path)
  }
})

test('a prune of a full disk that fails at any call is finished by the next', {
  timeout: 300_000,
}, async (t) => {
  const probe = new FaultFileSystem(undefined, undefined, new FullFileSystem(0))
  const path = unsharedCopyOfUsed()
  probe.arm()
  await (await openWith(path, probe)).prune(undefined, PRUNE)
  const writing = new Set<FileSystemCall>(['open', 'writev', 'sync', 'link', 'unlink', 'mkdir'])
  const calls = [...probe.log.entries()].filter(([, { call }]) => writing.has(call)).map(([index]) => index)
  for (const index of IS_LONG ? calls : calls.filter((_, i) => i % 11 === 0)) {
    const again = unsharedCopyOfUsed()
    const full = new FullFileSystem(0)
    const fault = { index, code: 'EIO', when: 'before', sticky: true } as const
    const fileSystem = new FaultFileSystem(fault, undefined, full)
    fileSystem.arm()
    await codeOf(openWith(again, fileSystem).then((repo) => repo.prune(undefined, PRUNE)))
    fileSystem.disarm()
    const code = await codeOf(openWith(again, fileSystem).then((repo) => repo.prune(undefined, PRUNE)))
    if (code !== 'success') t.fail(`after call ${index}: ${code}`)
    full.freeBytes = Number.POSITIVE_INFINITY
    await assertSound(t, new LocalStore(again), USED.snapshots, `failed at call ${index}`)
    removeFolder(again)
  }
})

test('a full file system of the kernel', { timeout: 60_000 }, async (t) => {
  const mountPoint = mkdtempSync(join(tmpdir(), 'small-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', mountPoint], { stdio: 'ignore' })
  } catch {
    rmSync(mountPoint, { recursive: true })
    t.comment('needs the right to mount')
    return
  }
  try {
    const store = await LocalStore.create(join(mountPoint, 'store'))
    await Repository.init(store, { ...ENCRYPTED, packBytes: 1 << 20 })
    const repo = await Repository.open(store, { keyFile: KEY_FILE })
    const image = noise('kept', 1_000_000)
    const kept = await backUp(repo, image)
    const garbage = await backUp(repo, noise('garbage', 2_000_000), { name: 'garbage' })
    await repo.forget(garbage.id)
    // Until nothing more goes in, not even a session record.
    for (let size = 5_000_000; size >= 1000; size = size >> 1)
      await codeOf(backUp(repo, noise(`filler ${size}`, size), { name: 'filler' }))
    t.equal(await codeOf(backUp(repo, noise('more', 100_000))), 'ERR_STORE_FULL')
    const before = await collected(repo.snapshots())
    const report = await repo.prune(undefined, PRUNE)
    t.match(report, { outcome: 'done' })
    t.ok(report.bytesRemoved >= 2_000_000, `${report.bytesRemoved} bytes were removed`)
    t.equal((await collected(repo.snapshots())).length, before.length)
    t.ok(sameBytes(await restored(repo, kept.id), image))
    t.same((await repo.check({ readData: true, workers: 0 })).findings, [])
    t.equal(await codeOf(backUp(repo, noise('more', 100_000))), 'success', 'there is space again')
  } finally {
    execFileSync('umount', [mountPoint])
    rmSync(mountPoint, { recursive: true })
  }
})

test('the temporary folder goes', async () => {
  removeFolder(root)
})
