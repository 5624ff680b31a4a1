import { access, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { LocalStore, MemorySource } from '@platter/fs-adapters'
import { Repository, type Snapshot } from '@platter/repo'
import { test } from 'tap'
import { answer, call, errorOf, filesIn, noise, platter, start, writeImage } from './harness.ts'

const MIB = 1024 ** 2

/** An image with data, a repeated piece, and holes; and the same after one MiB of it changed. */
async function twoImages(
  folder: string,
): Promise<{ before: string; after: string; bytes: [Buffer, Buffer] }> {
  const before = join(folder, 'before.img')
  const after = join(folder, 'after.img')
  const data = noise(2 * MIB, 'data')
  const bytes = await writeImage(before, 8 * MIB + 512, [
    [0, data],
    [4 * MIB, data],
    [8 * MIB, noise(512, 'tail')],
  ])
  const changed = await writeImage(after, 8 * MIB + 512, [
    [0, data],
    [3 * MIB, noise(MIB, 'change')],
    [4 * MIB, data],
    [8 * MIB, noise(512, 'tail')],
  ])
  return { before, after, bytes: [bytes, changed] }
}

test('init', async (t) => {
  const folder = t.testdir({ holiday: { 'photo.jpg': 'x' } })
  const repo = join(folder, 'deep', 'down', 'repo')

  const refused = await call(['init', repo, '--json'])
  t.equal(refused.code, 1)
  t.match(errorOf(refused), { code: 'ERR_KEY_REQUIRED', message: /no terminal/ })
  t.same(await readdir(folder), ['holiday'], 'nothing was created')

  const made = await answer(['init', repo, '--no-encryption'])
  t.match(made, {
    repository: /^[0-9a-f]{32}$/,
    path: repo,
    chunker: { kind: 'aligned' },
    encryption: 'none',
  })

  const again = await call(['init', repo, '--no-encryption'])
  t.equal(again.code, 1)
  t.match(again.stderr, /\(ERR_REPOSITORY_EXISTS\)\n {2}\w/)
  t.equal((await answer(['stats', repo])).repository, made.repository, 'it was left as it is')

  for (const chunker of ['fastcdc', 'fixed', 'aligned']) {
    const answered = await answer(['init', join(folder, chunker), '--no-encryption', '--chunker', chunker])
    t.match(answered, { chunker: { kind: chunker } })
  }
  const text = await call(['init', join(folder, 'text'), '--no-encryption'])
  t.match(text.stdout, /^Created repository [0-9a-f]{32} in .*, without encryption\.\n$/)
  const quiet = await call(['-q', 'init', '--no-encryption', join(folder, 'quiet')])
  t.match(quiet.stdout, /^[0-9a-f]{32}\n$/)

  await writeFile(join(folder, 'file'), 'x')
  t.match(errorOf(await call(['init', join(folder, 'file'), '--no-encryption', '--json'])), {
    message: /not a folder/,
  })
  t.match(errorOf(await call(['init', join(folder, 'holiday'), '--no-encryption', '--json'])), {
    message: /photo\.jpg/,
  })
  const inFile = await call(['init', join(folder, 'file', 'repo'), '--no-encryption', '--json'])
  t.equal(inFile.code, 1)
})

test('a disk goes in, changes, goes in again, and both states come back', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const { before, after, bytes } = await twoImages(folder)
  await answer(['init', repo, '--no-encryption'])

  const first = await answer([
    'backup',
    repo,
    before,
    '--name',
    'disk',
    '--tag',
    'a',
    '--tag=b',
    '--host',
    'lab',
  ])
  t.match(first, {
    snapshot: /^[0-9a-f]{32}$/,
    name: 'disk',
    bytesTotal: 8 * MIB + 512,
    chunksNew: Number,
    chunksKnown: Number,
    bytesStored: Number,
    seconds: Number,
    badRanges: [],
  })
  t.ok(
    (first.bytesNew as number) >= 2 * MIB && (first.bytesNew as number) < 3 * MIB,
    'what repeats is kept once',
  )
  t.ok((first.bytesHole as number) >= 3.9 * MIB)
  t.ok((first.bytesRead as number) >= 4 * MIB)

  const second = await answer(['--tag', 'c', 'backup', '--name=disk', repo, after])
  t.equal(second.parent, first.snapshot)
  t.ok((second.bytesNew as number) < 2 * MIB)
  const third = await answer(['backup', repo, after, '--name', 'disk'])
  t.equal(third.bytesNew, 0)
  t.equal(third.chunksNew, 0)

  await t.test('snapshots', async (t) => {
    const { snapshots } = await answer<{ snapshots: Snapshot[] }>(['snapshots', repo])
    t.same(
      snapshots.map(({ id }) => id),
      [first.snapshot, second.snapshot, third.snapshot],
      'oldest first',
    )
    t.match(snapshots[0], { name: 'disk', host: 'lab', tags: ['a', 'b'], time: /^\d{4}-.*[+-]\d\d:\d\d$|Z$/ })
    t.equal(snapshots[1]?.host, hostname())
    const filtered = await answer<{ snapshots: Snapshot[] }>(['snapshots', repo, '--tag', 'c'])
    t.same(
      filtered.snapshots.map(({ id }) => id),
      [second.snapshot],
    )
    t.same((await answer(['snapshots', repo, '--name', 'other'])).snapshots, [])

    const { stdout } = await call(['snapshots', repo])
    t.match(stdout, /^ID +TIME +IMAGE +ADDED +HOST +NAME +TAGS\n/)
    t.match(
      stdout,
      /^[0-9a-f]{8} {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}8\.00 MiB +[\d.]+ [KM]iB {2}lab +disk +a, b$/m,
    )
    t.match((await call(['snapshots', repo, '--name', 'other'])).stdout, 'No snapshot fits.')
    t.equal((await call(['snapshots', repo, '-q'])).stdout.split('\n').length, 4)
  })

  await t.test('show', async (t) => {
    for (const reference of [String(first.snapshot), String(first.snapshot).slice(0, 12)]) {
      t.match(await answer(['show', repo, reference]), {
        id: first.snapshot,
        name: 'disk',
        volumes: [{ sizeBytes: 8 * MIB + 512, imageDigest: /^[0-9a-f]{64}$/, source: { kind: 'file' } }],
        stats: { bytesTotal: 8 * MIB + 512 },
      })
    }
    t.equal((await answer(['show', repo, 'latest:disk'])).id, third.snapshot)
    const { stdout } = await call(['show', repo, 'latest'])
    t.match(stdout, new RegExp(`^snapshot +${third.snapshot}\nname +disk\n`))
    t.match(stdout, /^image +8\.00 MiB \(8,389,120 bytes\)$/m)
  })

  await t.test('restores of disks', async (t) => {
    const target = join(folder, 'disk.img')
    const dry = await call(['restore', repo, 'latest', target, '--dry-run', '--size', '16M'])
    t.match(dry.stdout, /^Would write snapshot [0-9a-f]{8} of disk, 8\.00 MiB[\s\S]*Nothing was written\.\n$/)
    await t.rejects(access(target), 'nothing was created')
    const journal = join(folder, 'journal')
    const args = ['restore', repo, 'latest', target, '--only-different', '--journal', journal]
    await answer([...args, '--keep-unused'])
    t.ok(bytes[1].equals(await readFile(target)))
    await t.rejects(access(journal), 'the journal is gone when all is done')
    await answer(['restore', repo, 'latest', target, '--as-is', '--force'])
    t.ok(bytes[1].equals(await readFile(target)))
    const larger = join(folder, 'larger.img')
    await answer(['restore', repo, 'latest', larger, '--size', '9M'])
    t.ok(Buffer.concat([bytes[1], Buffer.alloc(MIB - 512)]).equals(await readFile(larger)))
    t.equal(
      errorOf(await call(['restore', repo, 'latest', larger, '--size', '1M', '--force', '--json'])).code,
      'ERR_TARGET_TOO_SMALL',
    )
    t.equal(
      errorOf(await call(['restore', repo, 'latest', larger, '--partition', '1', '--force', '--json'])).code,
      'ERR_INVALID_ARGUMENT',
    )
    t.equal((await readFile(larger)).length, 9 * MIB, 'and neither touched it')
    await writeFile(journal, 'no journal')
    t.equal(errorOf(await call([...args, '--json'])).code, 'ERR_JOURNAL_INVALID')
    for (const wrong of [
      ['--journal', journal],
      ['--grow', '0'],
      ['--as-is', '--grow', '1'],
      ['--partial', '--dry-run'],
    ])
      t.equal((await call(['restore', repo, 'latest', target, ...wrong])).code, 2, wrong.join(' '))
    t.equal((await call(['restore', repo, 'latest', '-', '--dry-run'])).code, 2)
    const copy = join(folder, 'clone.img')
    t.match(await answer(['clone', target, copy, '--dry-run']), {
      dryRun: true,
      target: { kind: 'new file' },
    })
    t.match(await answer(['clone', target, copy]), { bytesTotal: 8 * MIB + 512, bytesVerified: Number })
    t.ok(bytes[1].equals(await readFile(copy)))
    t.equal(errorOf(await call(['clone', copy, copy, '--force', '--json'])).code, 'ERR_TARGET_UNSUPPORTED')
    t.equal(errorOf(await call(['clone', target, copy, '--json'])).code, 'ERR_TARGET_EXISTS')
    t.match(
      (await call(['clone', target, copy, '--force', '--exact'])).stdout,
      /^Cloned .* to .*clone\.img\n/,
    )
  })

  await t.test('diff', async (t) => {
    const args = [repo, String(first.snapshot), String(second.snapshot)]
    const answered = await answer(['diff', ...args])
    t.match(answered, { a: first.snapshot, b: second.snapshot })
    const ranges = answered.ranges as { offset: number; length: number }[]
    t.equal(answered.rangeCount, ranges.length)
    t.ok(ranges.some(({ offset, length }) => offset <= 3 * MIB && offset + length >= 4 * MIB))
    t.ok((answered.bytesChanged as number) < 3 * MIB)
    t.match(
      (await call(['diff', ...args])).stdout,
      /^ *OFFSET +LENGTH\n(?: *\d+ +\d+\n)+[0-9a-f]{8} and .* differ in \d/,
    )
    const same = await answer(['diff', repo, String(second.snapshot), 'latest'])
    t.match(same, { ranges: [], rangeCount: 0, bytesChanged: 0 })
    t.match((await call(['diff', repo, 'latest', 'latest'])).stdout, /are the same\.\n$/)
  })

  await t.test('restore', async (t) => {
    const target = join(folder, 'restored.img')
    const stats = await answer(['restore', repo, String(first.snapshot), target])
    t.match(stats, { snapshot: first.snapshot, target, bytesTotal: 8 * MIB + 512, seconds: Number })
    t.ok(bytes[0].equals(await readFile(target)))

    const exists = await call(['restore', repo, 'latest', target, '--json'])
    t.equal(exists.code, 1)
    t.match(errorOf(exists), { code: 'ERR_TARGET_EXISTS', hint: /--force/ })
    t.ok(bytes[0].equals(await readFile(target)), 'it was not touched')

    const different = await answer(['restore', repo, 'latest', target, '--only-different'])
    t.ok(bytes[1].equals(await readFile(target)))
    t.ok((different.bytesWritten as number) <= 2 * MIB, 'little was written')
    t.ok((different.bytesUnchanged as number) >= 4 * MIB)

    const forced = await call(['restore', repo, String(first.snapshot), target, '--force'])
    t.equal(forced.code, 0)
    t.match(
      forced.stdout,
      /^Restored snapshot [0-9a-f]{8} of disk, 8\.00 MiB, to .*restored\.img\n {2}\S+ \w+ written/,
    )
    t.ok(bytes[0].equals(await readFile(target)))
    await rm(target)
    const unknown = await call(['restore', repo, 'ffffffff', target])
    t.equal(unknown.code, 1)
    await t.rejects(access(target), 'nothing is created for a snapshot that is not there')
  })

  await t.test('check', async (t) => {
    t.match(await answer(['check', repo]), { findings: [], snapshots: 3, packsRead: 0 })
    const all = await answer(['check', repo, '--read-data'])
    t.match(all, { findings: [] })
    t.ok((all.packsRead as number) > 0)
    t.equal(all.packsRead, all.packs)
    t.match(await answer(['check', '--read-data=50%', repo]), { findings: [] })
    t.match(
      (await call(['check', repo, '--read-data=1'])).stdout,
      /read in full .*\nNo damage was found\.\n$/,
    )
    t.equal((await call(['check', repo, '--quiet'])).stdout, '')
  })

  await t.test('stats', async (t) => {
    const stats = await answer(['stats', repo])
    t.match(stats, { snapshots: 3, bytesImages: 3 * (8 * MIB + 512), packs: Number, chunks: Number })
    t.ok((stats.bytesStored as number) < 5 * MIB)
    t.match((await call(['stats', repo])).stdout, /^repository +[0-9a-f]{32}\nsnapshots +3\n/)
  })

  await t.test('forget', async (t) => {
    const slip = await call(['forget', repo, String(first.snapshot), 'ffffffff'])
    t.equal(slip.code, 1)
    t.equal((await answer<{ snapshots: [] }>(['snapshots', repo])).snapshots.length, 3, 'all or nothing')
    const { forgotten } = await answer([
      'forget',
      repo,
      String(first.snapshot),
      'latest',
      String(first.snapshot),
    ])
    t.match(forgotten, [{ id: first.snapshot }, { id: third.snapshot }])
    t.match(await answer(['snapshots', repo]), { snapshots: [{ id: second.snapshot }] })
    t.match((await call(['forget', repo, 'latest'])).stdout, /Forgot 1 snapshot\.\n$/)
    t.match((await call(['snapshots', repo])).stdout, 'The repository holds no snapshots.')
  })
})

interface Forgotten {
  readonly dryRun: boolean
  readonly forgotten: { id: string }[]
  readonly bytesFreed?: number
  readonly snapshots: {
    id: string
    keep: boolean
    reasons: { rule: string; detail?: string }[]
    bytesFreed?: number
  }[]
}

test('forget by a policy', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  await answer(['init', repo, '--no-encryption'])
  const clock = { now: new Date() }
  const dated = await Repository.open(new LocalStore(repo), { now: () => clock.now })
  const at = async (time: string, name: string, seed: string, tags: string[] = []): Promise<string> => {
    clock.now = new Date(time)
    const source = new MemorySource(Buffer.concat([noise(MIB, 'common'), noise(MIB, seed)]))
    return (await dated.backup(source, { name, host: 'lab', tags, workers: 0 })).id
  }
  const web = [
    await at('2024-03-01T12:00:00Z', 'web', 'a', ['gold']),
    await at('2025-10-30T22:30:00Z', 'web', 'b'),
    await at('2025-10-31T12:00:00Z', 'web', 'c'),
    await at('2025-10-31T23:30:00Z', 'web', 'd'),
  ]
  const db = [await at('2020-01-01T00:00:00Z', 'db', 'b'), await at('2020-01-02T00:00:00Z', 'db', 'e')]
  const ahead = await at('2999-01-01T00:00:00Z', 'web', 'f')
  await dated.close()

  const policy = [
    '--keep-monthly',
    '2',
    '--keep-tag',
    'gold',
    '--keep-tag',
    'x',
    '--time-zone',
    'Europe/Berlin',
  ]
  const before = await filesIn(repo)
  const planned = await answer<Forgotten>(['forget', repo, ...policy, '--dry-run'])
  t.match(planned, { dryRun: true, forgotten: [], bytesFreed: Number })
  t.same(
    planned.snapshots.map(({ id, keep }) => [id, keep]),
    [
      [db[0], false],
      [db[1], true],
      [web[0], true],
      [web[1], false],
      [web[2], true],
      [web[3], true],
      [ahead, true],
    ],
  )
  t.same(planned.snapshots[2]?.reasons, [{ rule: 'tag', detail: 'gold' }])
  t.same(planned.snapshots[4]?.reasons, [{ rule: 'monthly', detail: '2025-10' }])
  t.same(planned.snapshots[5]?.reasons, [{ rule: 'monthly', detail: '2025-11' }], 'it is November in Berlin')
  t.same(planned.snapshots[6]?.reasons, [{ rule: 'future' }])
  t.same(planned.snapshots[3]?.reasons, [])
  const [freed, one, other] = [planned.bytesFreed!, planned.snapshots[0]!, planned.snapshots[3]!]
  t.ok(freed > MIB && freed < 2 * MIB, 'half of each: the other half is needed')
  t.ok(one.bytesFreed! < MIB / 2 && other.bytesFreed! < MIB / 2, 'neither alone: they share it')

  const text = await call(['forget', repo, ...policy, '--dry-run'])
  t.match(text.stdout, /^PLAN +ID +TIME +FREES +HOST +NAME +TAGS +REASON\n/)
  t.match(
    text.stdout,
    /^remove {2}[0-9a-f]{8} {2}2025-10-30 23:30:00 +\S+ [KMi]*B {2}lab +web +no rule keeps it$/m,
  )
  t.match(text.stdout, /^keep {4}[0-9a-f]{8} {2}2025-11-01 00:30:00 .* monthly 2025-11$/m)
  t.match(text.stdout, /^keep .* gold {2}tag gold$/m)
  t.match(
    text.stdout,
    /\nWould forget 2 snapshots and keep 5; nothing was changed\. 1\.\d\d MiB of data is needed by no other snapshot\.\n$/,
  )
  t.equal((await call(['forget', repo, ...policy, '--dry-run', '-q'])).stdout, `${db[0]}\n${web[1]}\n`)
  t.same(await filesIn(repo), before, 'nothing was written')

  const scoped = await answer<Forgotten>([
    'forget',
    repo,
    '--keep-last',
    '1',
    '--name',
    'db',
    '--host',
    'lab',
  ])
  t.match(scoped, { dryRun: false, forgotten: [{ id: db[0], name: 'db' }] })
  t.equal(scoped.snapshots.length, 2)
  t.ok(scoped.bytesFreed! < MIB / 2, 'web needs it still')
  t.match((await call(['forget', repo, '--keep-last', '1', '--name', 'nobody'])).stdout, 'No snapshot fits.')

  const done = await call(['forget', repo, ...policy])
  t.equal(done.code, 0)
  t.match(done.stdout, /\nForgot 1 snapshot and kept 5\. 1\.\d\d MiB of data is needed/)
  const again = await answer<Forgotten>(['forget', repo, ...policy])
  t.match(again, { forgotten: [], bytesFreed: 0 })
  t.equal((await answer<{ snapshots: [] }>(['snapshots', repo])).snapshots.length, 5)

  const named = await answer<Forgotten>(['forget', repo, web[3]!.slice(0, 10), '--dry-run'])
  t.match(named, { dryRun: true, forgotten: [], snapshots: [{ id: web[3], keep: false, reasons: [] }] })
  t.ok(named.bytesFreed! > MIB)
  t.match(
    (await call(['forget', repo, web[3]!, '--dry-run'])).stdout,
    /^remove {2}[0-9a-f]{8} .*\nWould forget 1 snapshot; /m,
  )
  const within = ['--keep-within', '99999y']
  t.match(await answer(['forget', repo, ...within]), { forgotten: [] })
  t.match(await answer(['check', repo]), { findings: [], snapshots: 5 })
})

test('through pipes, with workers, in processes of its own', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const { bytes } = await twoImages(folder)
  t.equal((await platter(['init', repo, '--no-encryption'])).code, 0)

  const backup = await platter(['backup', repo, '-', '--name', 'piped', '--workers', '2', '--json'], bytes[0])
  t.equal(backup.code, 0, backup.stderr)
  const { snapshot } = JSON.parse(backup.stdout) as { snapshot: string }
  const progress = backup.stderr.trimEnd().split('\n')
  t.ok(progress.length > 0)
  for (const line of progress)
    t.match(JSON.parse(line), { progress: { command: 'backup', bytesDone: Number } })
  t.equal(
    (JSON.parse(progress.at(-1)!) as { progress: { bytesDone: number } }).progress.bytesDone,
    bytes[0].length,
  )

  const restored = await platter(['restore', repo, 'latest:piped', '-', '--workers', '1'])
  t.equal(restored.code, 0, restored.stderr)
  t.ok(restored.bytes.equals(bytes[0]), 'nothing but the image is on stdout')
  t.match(restored.stderr, /^Restored snapshot [0-9a-f]{8} of piped, 8\.00 MiB, to standard output\n/)
  const json = await platter(['restore', repo, snapshot, '-', '--json', '--no-progress'])
  t.ok(json.bytes.equals(bytes[0]))
  t.match(JSON.parse(json.stderr), { result: { snapshot, target: '-', bytesTotal: bytes[0].length } })

  const unnamed = await platter(['backup', repo, '-'], bytes[1])
  t.equal(unnamed.code, 0)
  t.match(unnamed.stdout, /^Snapshot [0-9a-f]{8} of stdin, 8\.00 MiB\n {2}read /)
  t.notOk(unnamed.stderr.includes('\r'), 'nothing is redrawn where no terminal is')
})

test('a reader that goes away is no failure of a listing, and one of a restore', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const { before } = await twoImages(folder)
  await answer(['init', repo, '--no-encryption'])
  await answer(['backup', repo, before])

  const listing = start(['snapshots', repo])
  ;(listing.stdout as NodeJS.ReadableStream & { destroy(): void }).destroy()
  const listed = await listing.ended
  t.equal(listed.code, 0)
  t.equal(listed.stderr, '')

  const restoring = start(['restore', repo, 'latest', '-'])
  ;(restoring.stdout as NodeJS.ReadableStream & { destroy(): void }).destroy()
  const restored = await restoring.ended
  t.equal(restored.code, 1)
  t.match(restored.stderr, /\(ERR_TARGET_WRITE\)/)
  t.notMatch(restored.stderr, /^ {4}at /m, 'no stack trace')
})

test('a backup with bad ranges is done with findings', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const { before } = await twoImages(folder)
  await answer(['init', repo, '--no-encryption'])

  // Reading is not made to fail here; that belongs to the library. What is tested is what the command makes of it.
  const original = Repository.prototype.backup
  t.teardown(() => {
    Repository.prototype.backup = original
  })
  let policy: unknown
  Repository.prototype.backup = async function (source, options) {
    policy = options?.onReadError
    const snapshot = await original.call(this, source, options)
    const badRanges = [{ offset: 4096, length: 512 }]
    return { ...snapshot, volumes: snapshot.volumes.map((volume) => ({ ...volume, badRanges })) }
  }
  const json = await call(['backup', repo, before, '--on-read-error', 'record', '--json', '--no-progress'])
  t.equal(json.code, 3)
  t.equal(policy, 'record')
  t.match(JSON.parse(json.stdout), { badRanges: [{ offset: 4096, length: 512 }] })
  const text = await call(['backup', repo, before])
  t.equal(text.code, 3)
  t.equal(policy, 'stop')
  t.match(text.stdout, /^ {2}bad +512 B {2}1 range unreadable, zeros kept$/m)
})

test('a check that finds damage is done with findings', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const { before } = await twoImages(folder)
  await answer(['init', repo, '--no-encryption'])
  const { snapshot } = await answer(['backup', repo, before])

  const packs = await filesIn(join(repo, 'packs'))
  const sizes = await Promise.all(packs.map(async (path) => (await stat(path)).size))
  const pack = await open(packs[sizes.indexOf(Math.max(...sizes))]!, 'r+')
  await pack.write(Buffer.from('damage'), 0, 6, MIB)
  await pack.close()

  const json = await call(['check', repo, '--read-data', '--json'])
  t.equal(json.code, 3)
  t.match(JSON.parse(json.stdout), { findings: [{ code: /^ERR_/, message: String }] })
  const text = await call(['check', repo, '--read-data'])
  t.equal(text.code, 3)
  t.match(text.stdout, /\(ERR_\w+\)\n {2}object packs\//)
  t.match(text.stdout, String(snapshot).slice(0, 8))
  t.match(text.stdout, /Damage: \d+ findings?\.\n$/)

  const target = join(folder, 'restored.img')
  const restored = await call(['restore', repo, 'latest', target])
  t.equal(restored.code, 1)
  t.match(restored.stderr, /\(ERR_\w+\)\n {2}platter check REPO --read-data/)
})
