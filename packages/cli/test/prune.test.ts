// Prune through the command, and backups that are killed and run again.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { LocalStore, MemorySource } from '@platter/fs-adapters'
import { type PrunePlan, type PruneReport, Repository } from '@platter/repo'
import { test } from 'tap'
import { answer, call, errorOf, filesIn, noise } from './harness.ts'

const MIB = 1024 ** 2
const LONG = process.env.PLATTER_LONG_TESTS === '1'

interface Listed {
  readonly snapshots: readonly {
    readonly id: string
    readonly volumes: readonly { readonly sizeBytes: number }[]
  }[]
}

/** A repository of which half of the data is needed by no snapshot, and some by one that shares its packs. */
async function wasteful(folder: string): Promise<{ repo: string; image: string }> {
  const repo = join(folder, 'repo')
  const image = join(folder, 'disk.img')
  await answer(['init', repo, '--no-encryption'])
  await writeFile(image, noise(3 * MIB, 'first'))
  const { snapshot } = await answer<{ snapshot: string }>(['backup', repo, image, '--name', 'disk'])
  await writeFile(image, Buffer.concat([noise(3 * MIB, 'first').subarray(0, 2 * MIB), noise(MIB, 'second')]))
  await answer(['backup', repo, image, '--name', 'disk'])
  await answer(['forget', repo, snapshot])
  return { repo, image }
}

test('prune says what it would do, does it, and then finds nothing to do', async (t) => {
  const folder = t.testdir()
  const { repo, image } = await wasteful(folder)
  const before = (await filesIn(repo)).sort()

  const dry = await call(['prune', repo, '--dry-run'])
  t.equal(dry.code, 0)
  t.match(dry.stdout, /needed by no snapshot +\d+ packs? +\d/)
  t.match(dry.stdout, /needed in part +1 pack +3\.0\d? MiB/)
  t.match(dry.stdout, /to be stored again +(1|2)\.\d+ MiB/)
  t.match(dry.stdout, /Packs take .*, of which \d+\.\d % is not needed; afterwards .* and 0\.0 %\.\n/)
  const plan = await answer<PrunePlan>(['prune', repo, '--dry-run'])
  t.match(plan, { generation: 1, quarantined: [], checkpoints: [], writers: [] })
  // A chunk has at most 1 MiB, so no more than that of the 2 MiB in common is cut otherwise.
  t.ok(plan.bytesRemoved > 3 * MIB && plan.bytesRepacked >= MIB && plan.bytesRepacked < 2.1 * MIB)
  const quiet = await call(['prune', repo, '--dry-run', '--quiet'])
  t.equal(quiet.stdout, `${plan.bytesRemoved - plan.bytesRepacked}\n`, 'a number for scripts')
  t.same((await filesIn(repo)).sort(), before, 'a dry run changes nothing')

  const spared = await answer<PrunePlan>(['prune', repo, '--dry-run', '--max-unused', '90'])
  t.notOk(spared.packs.some(({ fate }) => fate === 'repack'))
  const bounded = await answer<PrunePlan>(['prune', repo, '--dry-run', '--max-repack', '100K'])
  t.equal(bounded.packs.filter(({ fate }) => fate === 'repack').length, 0)

  const done = await answer<PruneReport>(['prune', repo])
  t.match(done, {
    outcome: 'done',
    generation: 1,
    packsRemoved: plan.packs.length,
    packsKept: 0,
    waitingFor: [],
  })
  t.ok(done.bytesRepacked >= MIB && done.bytesRepacked <= plan.bytesRepacked)
  const target = join(folder, 'restored.img')
  await answer(['restore', repo, 'latest:disk', target])
  t.ok((await readFile(target)).equals(await readFile(image)))
  t.equal((await call(['check', repo, '--read-data'])).code, 0)
  const nothing = await call(['prune', repo])
  t.same([nothing.code, nothing.stdout], [0, 'There is nothing to be done.\n'])
  t.equal((await answer<PruneReport>(['prune', repo])).outcome, 'nothing')
})

test('prune in words', async (t) => {
  const { repo } = await wasteful(t.testdir())
  const { code, stdout } = await call(['prune', repo])
  t.equal(code, 0)
  t.match(stdout, /^Removed \d+ packs \(3\.\d+ MiB\), (1|2)\.\d+ MiB stored again in .*\.\n$/)
})

test('a prune beside a backup ends with 3, the next one with 0', async (t) => {
  const { repo } = await wasteful(t.testdir())
  const library = await Repository.open(new LocalStore(repo))
  const bytes = noise(MIB, 'under way')
  const inner = new MemorySource(bytes)
  let goOn = (): void => undefined
  const held = new Promise<void>((resolve) => {
    goOn = resolve
  })
  let reading = (): void => undefined
  const begun = new Promise<void>((resolve) => {
    reading = resolve
  })
  const backup = library.backup(
    Object.assign(Object.create(inner), {
      info: inner.info,
      sequential: false,
      direct: undefined,
      extents: inner.extents.bind(inner),
      assertUnchanged: async () => {},
      read: async (...args: Parameters<MemorySource['read']>) => {
        reading()
        await held
        return await inner.read(...args)
      },
    }),
    { name: 'other', workers: 0 },
  )
  await begun
  const pending = await call(['prune', repo])
  t.equal(pending.code, 3)
  t.match(pending.stdout, /Waiting for 1 backup under way: [0-9a-f]{8}\.\nRun prune again .*--wait\.\n$/)
  const dry = await call(['prune', repo, '--dry-run'])
  t.match(
    dry.stdout,
    /Prune 1 has not ended and would be finished first\.\nBackup [0-9a-f]{8}, last seen at .* is under way\.\n$/,
  )
  const again = await call(['prune', repo, '--json'])
  t.equal(again.code, 3)
  t.match(JSON.parse(again.stdout), { outcome: 'pending', generation: 1, waitingFor: [/^[0-9a-f]{32}$/] })
  goOn()
  await backup
  const done = await answer<PruneReport>(['prune', repo, '--wait'])
  t.equal(done.outcome, 'done')
  t.equal((await call(['check', repo, '--read-data'])).code, 0)
})

test('options and repositories that prune cannot use', async (t) => {
  const folder = t.testdir()
  const { repo } = await wasteful(folder)
  const before = (await filesIn(repo)).sort()
  for (const words of [
    ['--max-unused', '101'],
    ['--max-unused', 'half'],
    ['--max-unused', '-1'],
    ['--max-unused'],
    ['--max-repack', 'much'],
    ['--max-repack', '-5'],
    ['--keep-daily', '3'],
    ['extra'],
  ]) {
    const outcome = await call(['prune', repo, ...words, '--json'])
    t.same([outcome.code, errorOf(outcome).code], [2, 'ERR_USAGE'], words.join(' '))
  }
  const missing = await call(['prune', join(folder, 'nothing'), '--json'])
  t.same([missing.code, /ERR_(REPOSITORY_)?NOT_FOUND/.test(errorOf(missing).code)], [1, true])
  t.same((await filesIn(repo)).sort(), before, 'nothing was changed')

  const aborted = await call(['prune', repo, '--json'], { signal: AbortSignal.abort() })
  t.equal(aborted.code, 1)
  const [segment] = before.filter((path) => path.includes('/index/'))
  await writeFile(segment!, 'no index')
  const damaged = await call(['prune', repo, '--json'])
  t.same([damaged.code, errorOf(damaged).code], [1, 'ERR_CORRUPT_INDEX'])
  const packs = (files: readonly string[]): number => files.filter((path) => path.includes('/packs/')).length
  t.equal(packs(await filesIn(repo)), packs(before))
})

test('a large backup is killed; run again, it stores the rest only', { timeout: 570_000 }, async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const image = join(folder, 'large.img')
  const sizeBytes = LONG ? 1024 * MIB : 64 * MIB
  const file = await open(image, 'w')
  for (let at = 0; at < sizeBytes; at += 16 * MIB) await file.write(noise(16 * MIB, `${at}`), 0, 16 * MIB, at)
  await file.close()
  // A checkpoint ends with a region, and is due by whole packs: a small image needs small ones of both.
  const sizes = LONG ? {} : { regionBytes: 2 * MIB, packBytes: MIB }
  await Repository.init(await LocalStore.create(repo), { crypto: 'none', ...sizes })

  const script = fileURLToPath(new URL('./stalling-backup.js', import.meta.url))
  const child = spawn(process.execPath, [script, repo, image, `${sizeBytes / 8}`, `${(sizeBytes * 3) / 4}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const ended = once(child, 'close')
  t.teardown(() => child.kill('SIGKILL'))
  const checkpoints = async (): Promise<number[]> => {
    const { snapshots } = await answer<Listed>(['snapshots', repo, '--checkpoints'])
    return snapshots.map(({ volumes }) => volumes[0]!.sizeBytes)
  }
  while (Math.max(0, ...(await checkpoints())) < sizeBytes / 4) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('The backup ended by itself.')
    await delay(200)
  }
  child.kill('SIGKILL')
  t.equal((await ended)[1], 'SIGKILL')
  // Two, if it was killed after a checkpoint and before it forgot the one before.
  const left = await checkpoints()
  t.ok(left.length === 1 || left.length === 2, `${left.length} checkpoints`)
  const known = Math.max(...left)

  t.same((await answer<Listed>(['snapshots', repo])).snapshots, [], 'nothing was committed')
  const listed = await call(['snapshots', repo, '--checkpoints'])
  t.match(listed.stdout, /\(checkpoint\)/)
  const prunable = await answer<PrunePlan>(['prune', repo, '--dry-run'])
  t.same(
    prunable.packs.filter(({ fate }) => fate !== 'unlisted'),
    [],
    'what it stored is kept',
  )

  const resumed = await answer<{ bytesRead: number; bytesNew: number; bytesStored: number; seconds: number }>(
    ['backup', repo, image, '--name', 'large', '--host', 'here'],
  )
  const rest = sizeBytes - known
  t.equal(resumed.bytesRead, sizeBytes, 'all is read')
  t.ok(resumed.bytesNew <= rest, `${resumed.bytesNew} of ${rest} new bytes`)
  t.ok(resumed.bytesStored <= rest * 1.01, `${resumed.bytesStored} stored`)
  t.ok(resumed.bytesNew >= sizeBytes / 8, 'the rest was not stored before')
  t.comment(
    `image ${sizeBytes / MIB} MiB, checkpoint ${Math.round(known / MIB)} MiB, stored again ${Math.round(resumed.bytesStored / MIB)} MiB`,
  )
  const target = join(folder, 'restored.img')
  await answer(['restore', repo, 'latest:large', target])
  t.ok((await readFile(target)).equals(await readFile(image)), 'and it restores')
  t.match(await answer<PruneReport>(['prune', repo]), { checkpointsForgotten: left.length })
  t.same(await checkpoints(), [sizeBytes], 'the snapshot is all that is left')
})
