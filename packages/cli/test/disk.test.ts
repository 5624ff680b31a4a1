// Backups of disks with partitions and filesystems, made by the tools of Linux and checked by them.
import {
  copyFileSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import type { DiskDescription } from '@platter/core'
import { openDisk } from '@platter/fs-adapters'
import t, { type Test, test } from 'tap'
import {
  filesOf,
  type MadeDisk,
  MIB,
  makeDisk,
  missingTools,
  partOf,
  withDirtyExt4,
} from './disks/made-disk.ts'
import { measureUsedBlocks } from './disks/used-blocks.ts'
import { answer, call, noise } from './harness.ts'

const skip = missingTools()

const made = new Map<string, MadeDisk>()
const sharedFolder = t.testdir()

/** A disk that is made once; who changes it copies it first. */
function sharedDisk(label: 'gpt' | 'dos'): MadeDisk {
  const disk = made.get(label) ?? makeDisk(sharedFolder, label)
  made.set(label, disk)
  return disk
}

interface BackupAnswer {
  readonly snapshot: string
  readonly bytesRead: number
  readonly bytesUnused: number
  readonly policy: string
  readonly leftOut: readonly { readonly use: string; readonly bytes: number }[]
  readonly readWhole: readonly { readonly partition?: number; readonly code: string }[]
  readonly warnings: readonly { readonly code: string; readonly message: string }[]
}

interface ShownSnapshot {
  readonly volumes: readonly { readonly disk: DiskDescription }[]
}

async function newRepo(folder: string): Promise<string> {
  const repo = join(folder, 'repo')
  await answer(['init', repo, '--no-encryption'])
  return repo
}

/** The image of a disk with zeros where it is to be left out. */
async function withZeros(path: string): Promise<{ bytes: Buffer; unused: number }> {
  const bytes = readFileSync(path)
  let unused = 0
  await using disk = await openDisk(path)
  for await (const { kind, offset, length } of disk.extents()) {
    if (kind !== 'unused') continue
    bytes.fill(0, offset, offset + length)
    unused += length
  }
  return { bytes, unused }
}

async function restored(repo: string, snapshot: string, folder: string): Promise<string> {
  const path = join(folder, `restored-${snapshot.slice(0, 8)}`)
  await answer(['restore', repo, snapshot, path])
  return path
}

for (const label of ['gpt', 'dos'] as const)
  test(`a disk with filesystems, ${label}: what is in use comes back, the rest as zeros`, {
    skip,
  }, async (t) => {
    const folder = t.testdir()
    const disk = sharedDisk(label)
    const repo = await newRepo(folder)
    const made = await answer<BackupAnswer>(['backup', repo, disk.path, '--name', 'disk'])
    const { bytes, unused } = await withZeros(disk.path)
    t.equal(made.bytesUnused, unused)
    t.equal(made.bytesRead, disk.sizeBytes - unused)
    t.ok(unused > 28 * MIB, `${unused} bytes are left out`)
    t.equal(made.policy, 'used')
    t.same(made.leftOut.map(({ use }) => use).sort(), ['free', 'swap'])
    t.equal(
      made.leftOut.reduce((sum, each) => sum + each.bytes, 0),
      unused,
      'what is said to be left out is what is',
    )
    t.same(made.warnings, [])
    const path = await restored(repo, made.snapshot, folder)
    t.ok(readFileSync(path).equals(bytes), 'all that is not unused is bit for bit')
    const scratch = join(folder, 'scratch')
    t.same(filesOf(path, disk, scratch), filesOf(disk.path, disk, scratch))
    const { volumes } = await answer<ShownSnapshot>(['show', repo, made.snapshot])
    assertDescribes(t, volumes[0]!.disk, disk, label)
    const { source: _, sizeBytes: __, warnings: ___, ...info } = await answer(['info', disk.path])
    t.same(info, volumes[0]!.disk, 'info and show say the same')
  })

function assertDescribes(t: Test, disk: DiskDescription, made: MadeDisk, label: 'gpt' | 'dos'): void {
  t.match(disk.table, {
    kind: label === 'gpt' ? 'gpt' : 'mbr',
    sectorBytes: 512,
    id: label === 'gpt' ? '6d5a8a1c-0b0d-4e0f-9a55-0123456789ab' : 'cafe0123',
    problems: [],
  })
  const wanted = {
    fat: { type: 'fat16', label: 'ESP', uuid: /1234-?abcd/i },
    ext4: { type: 'ext4', label: 'rootfs', uuid: '12345678-1234-1234-1234-123456789abc' },
    swap: { type: 'swap', label: 'swapping', uuid: '87654321-1234-1234-1234-123456789abc' },
  }
  for (const { number, content, offset, sizeBytes } of made.partitions) {
    const found = disk.partitions.find((partition) => partition.number === number)
    t.match(found, { offset, length: sizeBytes, volume: { filesystem: wanted[content] } }, content)
    const { usedBytes = 0, leftOut = [] } = found?.volume ?? {}
    const out = leftOut.reduce((sum, { bytes }) => sum + bytes, 0)
    t.ok(usedBytes > 0 && usedBytes + out <= sizeBytes && usedBytes + out > 0.95 * sizeBytes)
  }
  t.equal(disk.partitions.length, 4)
}

test('exact keeps every bit, whatever was backed up before', { skip }, async (t) => {
  const folder = t.testdir()
  const disk = sharedDisk('gpt')
  const repo = await newRepo(folder)
  const used = await answer<BackupAnswer>(['backup', repo, disk.path, '--name', 'disk'])
  const changes = join(folder, 'changes')
  writeFileSync(changes, '0 512\n')
  const since = ['--name', 'disk', '--changed-since', used.snapshot, '--changes', changes]
  for (const more of [[], since]) {
    const exact = await answer<BackupAnswer>(['backup', repo, disk.path, '--exact', ...more])
    t.match(exact, { bytesUnused: 0, policy: 'exact', leftOut: [], warnings: [] })
    const path = await restored(repo, exact.snapshot, folder)
    t.ok(readFileSync(path).equals(readFileSync(disk.path)))
  }
  const again = await answer<BackupAnswer>(['backup', repo, disk.path, ...since])
  t.equal(again.bytesUnused, used.bytesUnused)
  t.ok(readFileSync(await restored(repo, again.snapshot, folder)).equals((await withZeros(disk.path)).bytes))
  t.same((await answer<{ findings: [] }>(['check', repo, '--read-data'])).findings, [])
})

test('what is not beyond doubt is read whole, and says so', { skip }, async (t) => {
  const folder = t.testdir()
  const disk = sharedDisk('gpt')
  const repo = await newRepo(folder)
  const [fat, ext4] = disk.partitions
  const changed = (name: string, change: (fd: number) => void): string => {
    const path = join(folder, name)
    copyFileSync(disk.path, path)
    change(openSync(path, 'r+'))
    return path
  }
  const headers = [512, disk.sizeBytes - 512]
  const damaged =
    (...at: number[]) =>
    (fd: number) => {
      for (const offset of at) writeSync(fd, Buffer.alloc(16, 0xee), 0, 16, offset + 24)
    }
  const cases: readonly (readonly [string, string, Partial<BackupAnswer>])[] = [
    [
      'dirty',
      withDirtyExt4(disk, join(folder, 'dirty')),
      { readWhole: [{ partition: ext4!.number, code: 'not-clean' }] },
    ],
    [
      'a flag in the FAT',
      changed('flag', (fd) => writeSync(fd, Buffer.of(1), 0, 1, fat!.offset + 0x25)),
      { readWhole: [{ partition: fat!.number, code: 'not-clean' }] },
    ],
    [
      'both headers damaged',
      changed('headers', damaged(...headers)),
      { readWhole: [{ code: 'gpt-damaged' }] },
    ],
  ]
  for (const [name, path, expected] of cases) {
    const result = await answer<BackupAnswer>(['backup', repo, path, '--name', name])
    const readWhole = result.readWhole.filter(({ code }) => code !== 'unrecognised')
    t.match(readWhole, expected.readWhole!, name)
    t.equal(readWhole.length, 1, name)
    const isDisk = expected.readWhole![0]!.partition === undefined
    t.match(result.warnings, [{ code: isDisk ? 'WARN_DISK_READ_WHOLE' : 'WARN_VOLUME_READ_WHOLE' }], name)
    const back = readFileSync(await restored(repo, result.snapshot, folder))
    t.ok(back.equals((await withZeros(path)).bytes), name)
    const { offset, sizeBytes } = isDisk
      ? { offset: 0, sizeBytes: disk.sizeBytes }
      : disk.partitions.find(({ number }) => number === expected.readWhole![0]!.partition)!
    t.ok(back.subarray(offset, offset + sizeBytes).equals(partOf(path, offset, sizeBytes)), `${name}: whole`)
  }
  const one = await answer<BackupAnswer>(['backup', repo, changed('primary', damaged(512))])
  t.same(one.warnings, [], 'one copy of the table is enough')
  t.ok(one.bytesUnused > 28 * MIB)
  t.match((await call(['info', join(folder, 'primary')])).stdout, /note: The first copy of the GPT/)
})

test('what people see of a disk', { skip }, async (t) => {
  const folder = t.testdir()
  const disk = sharedDisk('gpt')
  const repo = await newRepo(folder)
  const backup = await call(['backup', repo, disk.path, '--name', 'disk'])
  t.match(backup.stdout, /left out +\d+(\.\d+)? MiB +[\d.]+ MiB free, [\d.]+ MiB swap; --exact keeps it/)
  const ascii = await call(['info', disk.path], { tty: { columns: 60 } })
  t.match(
    ascii.stdout,
    /3 +20\.0 MiB +24\.0 MiB +[\d.]+ MiB +ext4 +rootfs +12345678-\S+ +Linux filesystem +root/,
  )
  t.match(ascii.stdout, /^\[[#+.]*2[-+#]+[.]+3[-+#]+4[-+#]+[.]+\]$/m)
  t.match(ascii.stdout, /partition 1 is read whole: /)
  t.ok(ascii.stdout.split('\n').some((line) => line.length === 60))
  const env = { LANG: 'en_US.UTF-8' }
  const shown = await call(['show', repo, 'latest'], { env, tty: { columns: 100 } })
  t.match(shown.stdout, /^\[.*2[█▒░]+·+3[█▒░]+4[█▒░]+·+\]$/m)
  t.match(shown.stdout, /left out +[\d.]+ MiB \([\d,]+ bytes\)/)
})

test('what is no disk is backed up as ever', async (t) => {
  const folder = t.testdir()
  const repo = await newRepo(folder)
  const cases = { empty: Buffer.alloc(0), short: noise(100, 'short'), noise: noise(300_000, 'noise') }
  for (const [name, bytes] of Object.entries(cases)) {
    const path = join(folder, name)
    writeFileSync(path, bytes)
    const result = await answer<BackupAnswer>(['backup', repo, path])
    t.match(result, { warnings: [], leftOut: [], bytesUnused: 0 }, name)
    t.ok(readFileSync(await restored(repo, result.snapshot, folder)).equals(bytes), name)
    t.match(await answer(['info', path]), { table: { kind: 'none' }, partitions: [] })
    t.equal((await call(['info', path])).code, 0)
  }
  t.equal((await call(['info', '-'])).code, 2)
  t.equal((await call(['info', join(folder, 'none')])).code, 1)
})

test('a disk that was written to while it was read', { skip }, async (t) => {
  const folder = t.testdir()
  const disk = makeDisk(folder, 'dos')
  await using source = await openDisk(disk.path)
  await source.assertUnchanged()
  truncateSync(disk.path, statSync(disk.path).size + 1)
  await t.rejects(source.assertUnchanged(), { code: 'ERR_SOURCE_CHANGED' })
})

test('little more is read than is in use', { skip }, async (t) => {
  const { bytesInUse, bytesRead, bytesUnused, diskBytes } = await measureUsedBlocks(
    t.testdir(),
    96 * MIB,
    24 * MIB,
  )
  // The looks at the table and at the heads of volumes, twice, are much on a disk so small.
  t.ok(
    bytesRead >= bytesInUse && bytesRead < 1.04 * bytesInUse,
    `${bytesRead} bytes read, ${bytesInUse} in use`,
  )
  t.ok(bytesInUse < diskBytes / 2 && bytesUnused > 0.98 * (diskBytes - bytesInUse))
})
