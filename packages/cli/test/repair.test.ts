import { cp, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Snapshot } from '@platter/repo'
import { type Test, test } from 'tap'
import { answer, call, errorOf, filesIn, noise, writeImage } from './harness.ts'

const MIB = 1024 ** 2

interface Damaged {
  readonly folder: string
  readonly repo: string
  readonly disk: string
  readonly bytes: Buffer
  readonly snapshot: string
}

/** A repository with one snapshot, one chunk of which is damaged. */
async function damagedRepository(t: Test): Promise<Damaged> {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const disk = join(folder, 'disk.img')
  const bytes = await writeImage(disk, 8 * MIB + 512, [
    [0, noise(3 * MIB, 'data')],
    [8 * MIB, noise(512, 'tail')],
  ])
  await answer(['init', repo, '--no-encryption'])
  const { snapshot } = await answer<{ snapshot: string }>(['backup', repo, disk, '--name', 'disk'])
  await cp(repo, join(folder, 'copy'), { recursive: true })
  const packs = await filesIn(join(repo, 'packs'))
  const sizes = await Promise.all(packs.map(async (path) => (await stat(path)).size))
  const pack = await open(packs[sizes.indexOf(Math.max(...sizes))]!, 'r+')
  await pack.write(Buffer.from('damage'), 0, 6, MIB)
  await pack.close()
  return { folder, repo, disk, bytes, snapshot }
}

interface PacksReport {
  readonly packsDamaged: readonly { blobs: number; blobsSalvaged: number; blobsLost: number }[]
  readonly damage: readonly { snapshot: string; ranges: { offset: number; length: number }[] }[]
  readonly healed: readonly string[]
  readonly blobsHealed: number
}

test('repair packs saves, marks, and heals later', { timeout: 60_000 }, async (t) => {
  const { folder, repo, disk, bytes, snapshot } = await damagedRepository(t)

  const before = await filesIn(repo)
  const dry = await call(['repair', 'packs', repo, '--dry-run', '--json'])
  t.equal(dry.code, 3)
  t.same(await filesIn(repo), before, 'a dry run changes nothing')

  const json = await call(['repair', 'packs', repo, '--json'])
  t.equal(json.code, 3)
  const report = JSON.parse(json.stdout) as PacksReport
  t.same((JSON.parse(dry.stdout) as PacksReport).damage, report.damage)
  t.match(report.packsDamaged, [{ blobsLost: 1 }])
  t.equal(report.packsDamaged[0]!.blobsSalvaged, report.packsDamaged[0]!.blobs - 1)
  t.match(report.damage, [{ snapshot, ranges: [{ offset: Number, length: Number }] }])
  const { offset, length } = report.damage[0]!.ranges[0]!
  const text = await call(['repair', 'packs', repo])
  t.equal(text.code, 3)
  t.match(text.stdout, /^Snapshot [0-9a-f]{8} of disk is damaged:\n {2}[\d.]+ [KM]iB at byte [\d,]+$/m)
  t.equal((await call(['repair', 'packs', repo, '-q'])).stdout, `${snapshot}\n`)

  await t.test('the mark is shown', async (t) => {
    const { snapshots } = await answer<{ snapshots: (Snapshot & { damagedRanges: unknown })[] }>([
      'snapshots',
      repo,
    ])
    t.same(snapshots[0]?.damagedRanges, [{ offset, length }])
    t.match((await call(['snapshots', repo])).stdout, /TAGS +STATE\n.* damaged\n$/)
    t.match(await answer(['show', repo, 'latest']), { id: snapshot, damagedRanges: [{ offset, length }] })
    t.match((await call(['show', repo, 'latest'])).stdout, /^damaged +[\d.]+ [KM]iB at byte/m)
  })

  await t.test('a restore refuses, and a partial one does what it can', async (t) => {
    const target = join(folder, 'restored.img')
    await writeFile(target, 'what was there')
    const refused = await call(['restore', repo, 'latest', target, '--force', '--json'])
    t.equal(refused.code, 1)
    t.match(errorOf(refused), { code: 'ERR_SNAPSHOT_DAMAGED', hint: /--partial/ })
    const partial = await call(['restore', repo, 'latest', target, '--force', '--partial', '--json'])
    t.equal(partial.code, 3)
    t.match(JSON.parse(partial.stdout), { damagedRanges: [{ offset, length }] })
    const expected = Buffer.from(bytes).fill(0, offset, offset + length)
    t.ok(expected.equals(await readFile(target)), 'all but the lost range')
    const told = await call(['restore', repo, 'latest', join(folder, 'other.img'), '--partial'])
    t.match(told.stdout, /^ {2}lost: [\d.]+ [KM]iB at byte [\d,]+, zeros there$/m)
    t.ok(expected.equals(await readFile(join(folder, 'other.img'))), 'in a new file as well')
    const both = await call(['restore', repo, 'latest', target, '--partial', '--only-different'])
    t.equal(both.code, 2)
  })

  await t.test('healed from the disk', async (t) => {
    const healed = await answer<PacksReport>(['repair', 'packs', repo, '--from', disk])
    t.same(healed.healed, [snapshot])
    t.equal(healed.blobsHealed, 1)
    const target = join(folder, 'healed.img')
    await answer(['restore', repo, 'latest', target])
    t.ok(bytes.equals(await readFile(target)))
    t.match(await answer(['check', repo, '--read-data', '--drill']), { findings: [], drilled: snapshot })
    t.match((await call(['snapshots', repo])).stdout, /TAGS\n/, 'no mark any more')
    t.match((await call(['repair', 'packs', repo])).stdout, /Every snapshot that can be read is whole\.\n$/)
  })
})

test('repair packs heals from a repository', { timeout: 60_000 }, async (t) => {
  const { folder, repo, disk, bytes } = await damagedRepository(t)
  const second = join(folder, 'second')
  await answer(['init', second, '--no-encryption', '--chunker', 'fixed'])
  await answer(['backup', second, disk, '--name', 'disk'])
  await cp(repo, join(folder, 'other'), { recursive: true })
  for (const [damaged, from] of [
    [repo, second],
    [join(folder, 'other'), join(folder, 'copy')],
  ] as const) {
    const report = await answer<PacksReport>(['repair', 'packs', damaged, '--from', from])
    t.equal(report.blobsHealed, 1)
    t.same(report.damage, [])
    const target = join(folder, `healed from ${from.slice(-4)}`)
    await answer(['restore', damaged, 'latest', target])
    t.ok(bytes.equals(await readFile(target)))
  }
})

test('repair index', { timeout: 60_000 }, async (t) => {
  const { folder } = await damagedRepository(t)
  const repo = join(folder, 'copy')
  t.match((await call(['repair', 'index', repo])).stdout, /^Listed 0 packs of \d+ anew/m)
  await rm(join(repo, 'index'), { recursive: true })
  t.equal((await call(['repair', 'index', repo, '--dry-run'])).code, 3)
  t.notOk((await readdir(repo)).includes('index'))
  const report = await answer(['repair', 'index', repo])
  t.match(report, { packsMissing: [], segmentsWritten: 1 })
  t.match(await answer(['check', repo, '--read-data']), { findings: [] })
  const [segment] = await filesIn(join(repo, 'index'))
  await writeFile(segment!, 'damage')
  const packs = await call(['repair', 'packs', repo, '--json'])
  t.match(errorOf(packs), { code: 'ERR_CORRUPT_INDEX', message: /index first/ })
  t.match(await answer(['repair', 'index', repo]), { segmentsReplaced: [/^index\//] })
  t.match(await answer(['check', repo, '--read-data']), { findings: [] })
})

test('check by parts, and a drill', { timeout: 60_000 }, async (t) => {
  const { folder, repo, snapshot } = await damagedRepository(t)
  const sound = join(folder, 'copy')
  let packsRead = 0
  for (const part of ['1/3', '2/3', '3/3'])
    packsRead += (await answer<{ packsRead: number }>(['check', sound, `--read-data=${part}`])).packsRead
  t.equal(packsRead, (await answer(['check', sound, '--read-data'])).packsRead)
  for (const wrong of ['0/3', '4/3', '1/0', '1/', '/2', '1/2/3'])
    t.equal((await call(['check', sound, `--read-data=${wrong}`])).code, 2, wrong)
  t.match(
    (await call(['check', sound, '--drill'])).stdout,
    `Restore drill of snapshot ${snapshot.slice(0, 8)}.`,
  )
  t.equal((await call(['check', sound, '--drill=latest:disk'])).code, 0)
  t.equal((await call(['check', repo])).code, 0, 'the damage is in the data')
  const drill = await call(['check', repo, '--drill', '--json'])
  t.equal(drill.code, 3)
  t.match(JSON.parse(drill.stdout), { findings: [{ code: 'ERR_CORRUPT_BLOB', snapshots: [snapshot] }] })
  const none = await call(['check', sound, '--drill=latest:nobody', '--json'])
  t.equal(errorOf(none).code, 'ERR_SNAPSHOT_NOT_FOUND')
})

test('what repair refuses', async (t) => {
  const { folder, repo, disk } = await damagedRepository(t)
  for (const [argv, message] of [
    [['repair', 'snapshots', repo], /'snapshots' cannot be repaired/],
    [['repair', repo], /REPO is missing/],
    [['repair', 'index', repo, '--from', disk], /--from is for packs/],
    [['repair', 'packs', repo, '--from', '-'], /not -/],
  ] as const) {
    const outcome = await call([...argv])
    t.equal(outcome.code, 2)
    t.match(outcome.stderr, message)
  }
  const missing = await call(['repair', 'packs', repo, '--from', join(folder, 'nothing'), '--json'])
  t.match(errorOf(missing), { code: 'ERR_SOURCE_NOT_FOUND' })
  const inside = await call(['repair', 'packs', repo, '--from', join(repo, 'config'), '--json'])
  t.match(errorOf(inside), { code: 'ERR_SOURCE_UNSUPPORTED' })
  await mkdir(join(folder, 'empty'))
  const noRepository = await call(['repair', 'packs', repo, '--from', join(folder, 'empty'), '--json'])
  t.match(errorOf(noRepository), { code: 'ERR_REPOSITORY_NOT_FOUND' })
})
