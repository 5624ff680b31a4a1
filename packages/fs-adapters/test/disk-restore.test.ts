// Disks that go to other disks: planned, marked, filled, and made a disk again at the very end.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BlockTarget, PlatterError } from '@platter/core'
import {
  cloneDisk,
  type DiskRestoreOptions,
  DiskSource,
  FileSource,
  FileTarget,
  inspectTarget,
  MemorySource,
  MemoryTarget,
  planDiskRestore,
  RestoreJournalFile,
  restoreDisk,
} from '@platter/fs-adapters'
import { readPartitionTable } from '@platter/fs-adapters/partitions'
import { test } from 'tap'

const MIB = 1024 * 1024
const FOLDER = mkdtempSync(join(tmpdir(), 'platter-disks-'))
process.on('exit', () => rmSync(FOLDER, { recursive: true, force: true }))

function has(tool: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${tool}`], { env: { PATH: PATHS } })
    return true
  } catch {
    return false
  }
}

const PATHS = `${process.env.PATH}:/usr/sbin:/sbin`

function run(command: string, args: readonly string[], input = ''): string {
  return execFileSync(command, args, { input, encoding: 'utf8', env: { PATH: PATHS }, stdio: 'pipe' })
}

const TOOLS = ['sfdisk', 'sgdisk', 'mkfs.ext4', 'mkfs.vfat', 'e2fsck', 'fsck.fat', 'debugfs']
const MISSING = TOOLS.filter((tool) => !has(tool))
const SKIP =
  MISSING.length === 0 ? {} : { skip: `not installed: ${MISSING} (fdisk, gdisk, e2fsprogs, dosfstools)` }

/** A disk with a vfat and an ext4 partition that hold a file, and 3 MiB free behind them. */
function makeDisk(label: 'gpt' | 'dos'): string {
  const path = join(FOLDER, `${label}.img`)
  writeFileSync(path, '')
  execFileSync('truncate', ['-s', '16M', path])
  const types = label === 'gpt' ? ['U', 'L'] : ['c', '83']
  run(
    'sfdisk',
    ['-q', path],
    `label: ${label}\nstart=1MiB, size=4MiB, type=${types[0]}\nsize=8MiB, type=${types[1]}\n`,
  )
  const content = join(FOLDER, 'content')
  writeFileSync(content, Buffer.alloc(MIB, 'what a disk is for\n'))
  const fat = join(FOLDER, 'fat')
  const ext = join(FOLDER, 'ext')
  execFileSync('truncate', ['-s', '4M', fat])
  execFileSync('truncate', ['-s', '8M', ext])
  run('mkfs.vfat', [fat])
  run('mkfs.ext4', ['-q', '-F', ext])
  run('debugfs', ['-w', '-R', `write ${content} file`, ext])
  for (const [part, at] of [
    [fat, 1],
    [ext, 5],
  ] as const) {
    run('dd', [`if=${part}`, `of=${path}`, 'bs=1M', `seek=${at}`, 'conv=notrunc,sparse', 'status=none'])
    rmSync(part)
  }
  return path
}

/** Restores as `Repository.restore` would: everything in the range that is not excepted, whatever was there. */
async function restored(
  image: Uint8Array,
  target: BlockTarget,
  options: DiskRestoreOptions = {},
): ReturnType<typeof planDiskRestore> {
  const plan = await planDiskRestore(new MemorySource(image), target.info, options)
  await restoreDisk(plan, target, async (disk, { range, except }) => {
    await disk.prepare(range.length)
    let at = range.offset
    for (const one of [...except, { offset: range.offset + range.length, length: 0 }]) {
      if (one.offset > at) await disk.write(at - range.offset, image.subarray(at, one.offset))
      at = one.offset + one.length
    }
    await disk.flush()
  })
  return plan
}

function old(length: number): Uint8Array {
  return new Uint8Array(length).fill(0xa5)
}

function target(capacityBytes: number, logicalSectorBytes = 512): MemoryTarget {
  const memory = new MemoryTarget({ capacityBytes, content: old(capacityBytes) })
  Object.assign(memory.info, { logicalSectorBytes })
  const prepare = memory.prepare.bind(memory)
  memory.prepare = async (bytes) => {
    await prepare(bytes, { keepContent: true })
    return { blank: false }
  }
  return memory
}

/** Checks a disk with the tools that others use for theirs; fails when they do. */
function assertDisk(bytes: Uint8Array, label: 'gpt' | 'dos'): void {
  const path = join(FOLDER, 'restored.img')
  writeFileSync(path, bytes)
  run('sfdisk', ['--verify', '-q', path])
  if (label === 'gpt' && !run('sgdisk', ['-v', path]).includes('No problems found'))
    throw new Error(run('sgdisk', ['-v', path]))
  for (const [at, length, fsck] of [
    [1, 4, 'fsck.fat'],
    [5, 8, 'e2fsck'],
  ] as const) {
    writeFileSync(join(FOLDER, 'part'), bytes.subarray(at * MIB, (at + length) * MIB))
    run(fsck, [fsck === 'e2fsck' ? '-fn' : '-n', join(FOLDER, 'part')])
  }
}

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'success',
    (error: unknown) => (error instanceof PlatterError ? error.code : String(error)),
  )

test('a disk on disks of the same, of a larger and of a smaller size', SKIP, async (t) => {
  for (const label of ['gpt', 'dos'] as const) {
    const image = new Uint8Array(readFileSync(makeDisk(label)))
    const same = target(image.length)
    t.same((await restored(image, same)).notes, [])
    t.ok(Buffer.compare(same.bytes, image) === 0, `${label}: bit for bit`)
    for (const sizeBytes of [image.length + 512, 24 * MIB, 15 * MIB]) {
      const other = target(sizeBytes)
      const plan = await restored(image, other)
      assertDisk(other.bytes, label)
      t.ok(Buffer.compare(other.bytes.subarray(MIB, 13 * MIB), image.subarray(MIB, 13 * MIB)) === 0)
      t.equal(plan.sizeBytes, sizeBytes)
      t.equal(plan.newTable?.isTrustworthy, true)
    }
    const grown = target(24 * MIB)
    const plan = await restored(image, grown, { grow: 2 })
    assertDisk(grown.bytes, label)
    const table = await readPartitionTable(new MemorySource(grown.bytes))
    t.ok(table.partitions[1]!.length > 17 * MIB, `${label}: grown to ${table.partitions[1]!.length}`)
    t.ok(
      plan.notes.some((note) => note.includes('resize2fs')),
      plan.notes.join(' '),
    )
    const cloned = target(image.length)
    await restored(image, cloned, { newIdentity: true })
    assertDisk(cloned.bytes, label)
    const before = await readPartitionTable(new MemorySource(image))
    const after = await readPartitionTable(new MemorySource(cloned.bytes))
    for (const [i, { partUuid }] of after.partitions.entries())
      t.not(partUuid, before.partitions[i]!.partUuid)
  }
})

test('what does not fit is refused before a byte is written', SKIP, async (t) => {
  const image = new Uint8Array(readFileSync(makeDisk('gpt')))
  const refused = async (bytes: Uint8Array, place: MemoryTarget, options: DiskRestoreOptions = {}) => {
    const before = place.bytes.slice()
    const outcome = await code(restored(bytes, place, options))
    t.ok(Buffer.compare(place.bytes, before) === 0, 'nothing was written')
    return outcome
  }
  t.equal(await refused(image, target(13 * MIB)), 'ERR_TARGET_TOO_SMALL')
  t.equal(await refused(image, target(8 * MIB)), 'ERR_TARGET_TOO_SMALL')
  const stray = image.slice()
  stray[15.5 * MIB] = 1
  t.equal(await refused(stray, target(15 * MIB)), 'ERR_TARGET_TOO_SMALL', 'data in no partition')
  t.equal(await refused(old(4 * MIB), target(3 * MIB)), 'ERR_TARGET_TOO_SMALL', 'no table')
  const misaligned = image.slice()
  writeFileSync(join(FOLDER, 'misaligned'), misaligned)
  run('sfdisk', ['-q', join(FOLDER, 'misaligned')], 'label: gpt\nstart=2049, size=2048\n')
  const odd = new Uint8Array(readFileSync(join(FOLDER, 'misaligned')))
  t.equal(await refused(odd, target(16 * MIB, 4096)), 'ERR_PARTITION_TABLE', 'sectors of 4096 bytes')
  t.equal(await refused(image, target(16 * MIB), { partition: 3 }), 'ERR_INVALID_ARGUMENT')
  t.equal(await refused(image, target(16 * MIB), { partition: 2, grow: 2 }), 'ERR_INVALID_ARGUMENT')
  t.equal(await refused(image, target(4 * MIB), { partition: 2 }), 'ERR_TARGET_TOO_SMALL')
  t.equal(await refused(old(4 * MIB), target(4 * MIB), { newIdentity: true }), 'ERR_INVALID_ARGUMENT')
  const long = target(16 * MIB, 4096)
  const { notes } = await restored(image, long)
  t.ok(
    notes.some((note) => note.includes('4096')),
    'a table that can be rewritten is',
  )
  const table = await readPartitionTable(new MemorySource(long.bytes), { sectorBytes: 4096 })
  t.same([table.isTrustworthy, table.partitions.map(({ offset }) => offset)], [true, [MIB, 5 * MIB]])
})

test('one partition', SKIP, async (t) => {
  const image = new Uint8Array(readFileSync(makeDisk('gpt')))
  const place = target(8 * MIB)
  const plan = await restored(image, place, { partition: 2 })
  t.same(plan.range, { offset: 5 * MIB, length: 8 * MIB })
  t.ok(Buffer.compare(place.bytes, image.subarray(5 * MIB, 13 * MIB)) === 0)
  const larger = await planDiskRestore(new MemorySource(image), target(10 * MIB).info, { partition: 2 })
  t.ok(larger.notes.some((note) => note.includes('resize2fs')))
})

test('an interruption at any write leaves no disk', SKIP, async (t) => {
  const image = new Uint8Array(readFileSync(makeDisk('gpt')))
  for (const sizeBytes of [16 * MIB, 24 * MIB]) {
    for (let at = 0; ; at++) {
      // Over another whole disk, so that its table is what could be taken for one.
      const inner = target(sizeBytes)
      await restored(image, inner, { newIdentity: true })
      const memory = new MemoryTarget({ content: inner.bytes, capacityBytes: sizeBytes })
      let writes = 0
      const broken: BlockTarget = Object.assign(Object.create(memory), {
        info: memory.info,
        sequential: false,
        prepare: async () => {
          await memory.prepare(sizeBytes, { keepContent: true })
          return { blank: false }
        },
        write: async (offset: number, data: Uint8Array) => {
          if (writes++ === at) throw new PlatterError('ERR_TARGET_WRITE', 'no power')
          await memory.write(offset, data)
        },
        zero: async (offset: number, length: number) => await memory.zero(offset, length),
        read: async (offset: number, into: Uint8Array) => await memory.read(offset, into),
        flush: async () => {},
      })
      const outcome = await code(restored(image, broken))
      if (outcome === 'success') {
        t.ok(at >= 5, `${at} writes`)
        assertDisk(memory.bytes, 'gpt')
        break
      }
      t.equal(memory.bytes[510], 0, `write ${at}: no boot signature`)
      const { kind, isTrustworthy } = await readPartitionTable(new MemorySource(memory.bytes))
      t.notOk(isTrustworthy && kind !== 'none', `write ${at}: ${kind}`)
    }
  }
})

test('a clone, of used blocks, verified', SKIP, async (t) => {
  for (const label of ['gpt', 'dos'] as const) {
    const path = makeDisk(label)
    const image = new Uint8Array(readFileSync(path))
    // Free blocks full of what was deleted.
    const free = 11.5 * MIB
    image.fill(0x77, free, free + MIB)
    writeFileSync(path, image)
    await using source = await FileSource.open(path)
    const to = join(FOLDER, 'clone.img')
    await using file = await FileTarget.open(to, { overwrite: true })
    const disk = await DiskSource.open(source)
    const stats = await cloneDisk(disk, file, { sizeBytes: 20 * MIB, grow: 2 })
    const bytes = new Uint8Array(readFileSync(to))
    assertDisk(bytes, label)
    t.ok(stats.bytesVerified > 15 * MIB, `${stats.bytesVerified} verified`)
    t.ok(stats.bytesUnused >= MIB, `${stats.bytesUnused} unused`)
    t.ok(
      bytes.subarray(free, free + MIB).every((byte) => byte === 0),
      'free blocks read as zeros',
    )
    const whole = target(16 * MIB)
    await cloneDisk(source, whole)
    t.ok(Buffer.compare(whole.bytes, image) === 0, 'bit for bit')
    const lying = target(16 * MIB)
    const write = lying.write.bind(lying)
    lying.write = async (offset, data) => {
      await write(offset, data)
      if (offset <= 12 * MIB && offset + data.length > 12 * MIB) lying.bytes[12 * MIB]! ^= 1
    }
    t.equal(await code(cloneDisk(source, lying)), 'ERR_DIGEST_MISMATCH')
    t.equal(lying.bytes[510], 0, 'and no table')
  }
})

test('a target is looked at without being touched', async (t) => {
  const path = join(FOLDER, 'looked-at')
  t.same(await inspectTarget(path), { kind: 'new file', label: path, capacityBytes: undefined })
  writeFileSync(path, 'abc')
  t.match(await inspectTarget(path), { kind: 'file', sizeBytes: 3 })
})

test('a journal in a file', async (t) => {
  const journal = new RestoreJournalFile(join(FOLDER, 'journal'))
  t.equal(await journal.load(), undefined)
  for (const text of ['first', 'second']) {
    await journal.save(Buffer.from(text))
    t.equal(Buffer.from((await journal.load())!).toString(), text)
  }
  await journal.remove()
  await journal.remove()
  t.equal(await journal.load(), undefined)
  const nowhere = new RestoreJournalFile(join(FOLDER, 'none', 'journal'))
  t.equal(await code(nowhere.save(new Uint8Array(1))), 'ERR_JOURNAL_IO')
  t.equal(await code(new RestoreJournalFile(FOLDER).load()), 'ERR_JOURNAL_IO')
})
