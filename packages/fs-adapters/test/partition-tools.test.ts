// Partition tables that Linux tools make are read as these tools read them, and what Platter writes satisfies them.
import { copyFileSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { BlockDeviceSource } from '@platter/fs-adapters'
import {
  type PartitionTable,
  readPartitionTable,
  rewritePartitionTable,
} from '@platter/fs-adapters/partitions'
import { test } from 'tap'
import { guidBytes, LINUX } from './partitions/made-tables.ts'
import {
  apply,
  emptyImage,
  folderFor,
  has,
  run,
  sfdisk,
  tableOf,
  told,
  toldByFdisk,
  toldBySfdisk,
  verify,
  without,
} from './partitions/tools.ts'

const MiB = 2 ** 20

/** Throws unless the table has no problem at all. */
function flawless(table: PartitionTable): PartitionTable {
  if (!table.isTrustworthy || table.problems.length > 0) throw new Error(JSON.stringify(table.problems))
  return table
}

const ESP = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'
const NAMES = ['', 'EFI System', 'wörld', '数据', '🜁 air', 'x'.repeat(36), 'a, b = c', "it's"]

function manyPartitions(): string {
  const lines = NAMES.map((name, i) => {
    const attrs = i % 2 === 0 ? '' : ', attrs="RequiredPartition LegacyBIOSBootable GUID:48,63"'
    return `start=${2048 + 4096 * i}, size=${100 + i}, type=${i === 1 ? ESP : LINUX.toUpperCase()}, name="${name}"${attrs}`
  })
  const more = Array.from({ length: 30 }, (_, i) => `start=${50_000 + 8 * i}, size=8, type=L`)
  return ['label: gpt', '', ...lines, ...more, ''].join('\n')
}

const SFDISK_SCRIPTS: Readonly<Record<string, string>> = {
  'a GPT with many partitions': manyPartitions(),
  'a GPT with 300 entries': 'label: gpt\ntable-length: 300\n\nstart=4096, size=2048, type=L\n',
  'an empty GPT': 'label: gpt\n',
  'a GPT that is not in order':
    'label: gpt\n\n7: start=4096, size=64, type=L\n3: start=8192, size=64, type=S\n128: start=2048, size=64, type=U\n',
  'an MBR':
    'label: dos\nlabel-id: 0x0badcafe\n\nstart=63, size=2000, type=c, bootable\n4: start=4096, type=83\n',
  'an MBR with logical partitions': [
    'label: dos',
    '',
    'start=2048, size=4096, type=83, bootable',
    '3: start=8192, size=110000, type=f',
    ...Array.from(
      { length: 12 },
      (_, i) => `${5 + i}: start=${10_240 + 4096 * i}, size=${2000 + i}, type=82`,
    ),
    '4: start=120000, size=63, type=8e',
    '',
  ].join('\n'),
  'an MBR whose extended partition is empty': 'label: dos\n\nstart=2048, type=5\n',
}

test('what sfdisk writes', { skip: without('sfdisk') }, async (t) => {
  const folder = folderFor(t)
  for (const [what, script] of Object.entries(SFDISK_SCRIPTS)) {
    const path = emptyImage(folder, 'disk', 64 * MiB)
    sfdisk(path, script)
    const table = await tableOf(path, { sectorBytes: 512 })
    t.same(told(table), toldBySfdisk(path), what)
    t.equal(flawless(table).kind, what.includes('GPT') ? 'gpt' : 'mbr')
    const { writes, table: again } = rewritePartitionTable(table)
    t.same(told(again), told(table), `${what}, rewritten`)
    await apply(path, writes)
    verify(path)
    t.same(toldBySfdisk(path), told(table), `${what}, rewritten, as sfdisk reads it`)
  }
})

test('sectors of 4096 bytes', { skip: without('fdisk') }, async (t) => {
  const folder = folderFor(t)
  const scripts = {
    gpt: manyPartitions(),
    mbr: 'label: dos\n\nstart=256, size=4000, type=c, bootable\n3: start=8192, size=1000, type=83\n',
    logical:
      'label: dos\n\nstart=256, size=4000, type=5\nstart=4500, size=8, type=83\n5: start=512, size=64, type=83\n6: start=1024, size=64, type=83\n',
  }
  for (const [what, script] of Object.entries(scripts)) {
    const path = emptyImage(folder, 'disk', 256 * MiB)
    const file = emptyImage(folder, 'script', 0)
    await apply(file, [
      { offset: 0, bytes: Buffer.from(script.replaceAll('type=L', `type=${LINUX.toUpperCase()}`)) },
    ])
    run('fdisk', ['-b', '4096', path], `I\n${file}\nw\n`)
    const isGpt = what === 'gpt'
    const table = flawless(await tableOf(path, { sectorBytes: 4096 }))
    t.same(told(table), toldByFdisk(path), what)
    const guessed = await tableOf(path)
    t.equal(guessed.isTrustworthy, isGpt, 'a GPT says what its sectors are, an MBR does not')
    if (isGpt) t.same({ ...guessed, problems: [] }, table)
    const { writes } = rewritePartitionTable(table, { sizeBytes: 300 * MiB + 4096, newIdentity: true })
    truncateSync(path, 300 * MiB + 4096)
    await apply(path, writes)
    const moved = flawless(await tableOf(path, { sectorBytes: 4096 }))
    t.same(told(moved), toldByFdisk(path), `${what}, moved`)
    t.not(told(moved).id, told(table).id)
  }
})

test('a hybrid', { skip: without('sgdisk', 'sfdisk') }, async (t) => {
  const folder = folderFor(t)
  const path = emptyImage(folder, 'disk', 64 * MiB)
  run('sgdisk', ['-n1:2048:+4M', '-n2::+8M', '-n3::+1M', '-n4::+2M', path])
  run('sgdisk', ['-h', '1:2:3', path])
  const table = flawless(await tableOf(path))
  t.equal(table.kind, 'hybrid')
  t.same(told(table), toldBySfdisk(path))
  if (table.kind !== 'hybrid') return
  t.same(
    table.mbrPartitions.map(({ offset, length }) => [offset, length]),
    table.partitions.slice(0, 3).map(({ offset, length }) => [offset, length]),
  )
  truncateSync(path, 100 * MiB)
  await apply(path, rewritePartitionTable(table, { sizeBytes: 100 * MiB, grow: 4 }).writes)
  verify(path)
  const moved = flawless(await tableOf(path))
  t.equal(moved.kind, 'hybrid')
  t.same(told(moved), toldBySfdisk(path))
  t.equal(moved.partitions[3]?.length, 85 * MiB)
  t.throws(() => rewritePartitionTable(table, { grow: 2 }), { code: 'ERR_PARTITION_TABLE' })
  t.throws(() => rewritePartitionTable(table, { sectorBytes: 4096 }), { code: 'ERR_PARTITION_TABLE' })
})

test('what sgdisk writes', { skip: without('sgdisk', 'sfdisk') }, async (t) => {
  const folder = folderFor(t)
  const cases = {
    'entries that are not behind the header': ['-j', '40', '-n1:0:+1M'],
    '8192 entries': ['-S', '8192', '-n1:0:+1M'],
    'partitions one behind the other': ['-a1', '-n1:34:2047', '-n2:2048:4095', '-n3:4096:0'],
  }
  for (const [what, args] of Object.entries(cases)) {
    const path = emptyImage(folder, 'disk', 64 * MiB)
    run('sgdisk', [...args, path])
    const table = flawless(await tableOf(path))
    t.same(told(table), toldBySfdisk(path), what)
    truncateSync(path, 70 * MiB)
    await apply(path, rewritePartitionTable(table, { sizeBytes: 70 * MiB }).writes)
    verify(path)
    t.same(told(flawless(await tableOf(path))), toldBySfdisk(path), `${what}, moved`)
  }
})

test('what parted writes', { skip: without('parted', 'sfdisk') }, async (t) => {
  const folder = folderFor(t)
  for (const label of ['gpt', 'msdos']) {
    const path = emptyImage(folder, 'disk', 64 * MiB)
    const parts =
      label === 'gpt' ? ['mkpart', 'one', 'ext4', '1MiB', '10MiB'] : ['mkpart', 'primary', '1MiB', '10MiB']
    const logical = [
      'mkpart',
      'extended',
      '10MiB',
      '60MiB',
      'mkpart',
      'logical',
      '12MiB',
      '20MiB',
      'mkpart',
      'logical',
      '30MiB',
      '40MiB',
    ]
    run('parted', ['-s', path, 'mklabel', label, ...parts, ...(label === 'gpt' ? [] : logical)])
    t.same(told(flawless(await tableOf(path))), toldBySfdisk(path), label)
  }
})

test('filesystems without a table', async (t) => {
  const folder = folderFor(t)
  const makers: Readonly<Record<string, readonly [string, ...string[]]>> = {
    FAT: ['mkfs.vfat', '-F', '32'],
    exFAT: ['mkfs.exfat'],
    NTFS: ['mkfs.ntfs', '-Q', '-F'],
    ext4: ['mkfs.ext4', '-q', '-F'],
    XFS: ['mkfs.xfs', '-q', '-f'],
    swap: ['mkswap'],
  }
  for (const [what, [tool, ...args]] of Object.entries(makers)) {
    t.test(what, { skip: without(tool) }, async (t) => {
      const path = emptyImage(folder, what, 300 * MiB)
      run(tool, [...args, path])
      const table = flawless(await tableOf(path))
      const isSigned = ['FAT', 'exFAT', 'NTFS'].includes(what)
      t.match(table, { kind: 'none', content: isSigned ? what : undefined, partitions: [], areas: [] })
      t.same(rewritePartitionTable(table, { sizeBytes: 10 * MiB }).writes, [])
    })
  }
})

test('a GPT on disks of other sizes', { skip: without('sfdisk', 'sgdisk') }, async (t) => {
  const folder = folderFor(t)
  const path = emptyImage(folder, 'disk', 64 * MiB)
  sfdisk(path, 'label: gpt\n\nstart=2048, size=4096, type=U\nstart=8192, size=32768, type=L, name="root"\n')
  const table = flawless(await tableOf(path))
  const end = (8192 + 32_768) * 512
  for (const sizeBytes of [end + 33 * 512, 32 * MiB, 64 * MiB, 64 * MiB + 100, 3 * 2 ** 40]) {
    for (const grow of [undefined, 1, 2]) {
      const copy = join(folder, 'copy')
      copyFileSync(path, copy)
      truncateSync(copy, sizeBytes)
      const { writes } = rewritePartitionTable(table, { sizeBytes, ...(grow && { grow }) })
      await apply(copy, writes)
      t.equal(statSync(copy).size, sizeBytes)
      verify(copy)
      const moved = flawless(await tableOf(copy))
      t.same(told(moved), toldBySfdisk(copy), `${sizeBytes} bytes, growing ${grow}`)
      t.equal(moved.partitions[0]?.length, grow === 1 ? 3 * MiB : 2 * MiB)
      const grown = Math.floor((sizeBytes - 33 * 512) / MiB) * MiB - 4 * MiB
      t.equal(moved.partitions[1]?.length, grow === 2 ? Math.max(16 * MiB, grown) : 16 * MiB)
    }
  }
  t.throws(() => rewritePartitionTable(table, { sizeBytes: end + 33 * 512 - 1 }), {
    code: 'ERR_TARGET_TOO_SMALL',
    details: { expected: end + 33 * 512, actual: end + 33 * 512 - 1 },
  })
})

test('a GPT for other sectors', { skip: without('sfdisk', 'sgdisk', 'fdisk') }, async (t) => {
  const folder = folderFor(t)
  const path = emptyImage(folder, 'disk', 64 * MiB)
  sfdisk(path, 'label: gpt\n\nstart=2048, size=4096, type=U\nstart=8192, type=L, name="root"\n')
  const table = flawless(await tableOf(path))
  const { writes, table: long } = rewritePartitionTable(table, { sectorBytes: 4096, sizeBytes: 80 * MiB })
  truncateSync(path, 80 * MiB)
  await apply(path, writes)
  t.same(told(long), toldByFdisk(path))
  const { writes: back } = rewritePartitionTable(await tableOf(path), { sectorBytes: 512 })
  await apply(path, back)
  verify(path)
  t.same(told(flawless(await tableOf(path))), toldBySfdisk(path))
  const odd = emptyImage(folder, 'odd', 64 * MiB)
  sfdisk(odd, 'label: gpt\n\nstart=2049, size=4096, type=U\n')
  const oddTable = flawless(await tableOf(odd))
  t.throws(() => rewritePartitionTable(oddTable, { sectorBytes: 4096 }), { code: 'ERR_PARTITION_TABLE' })
})

test('damaged copies are repaired', { skip: without('sfdisk', 'sgdisk') }, async (t) => {
  const folder = folderFor(t)
  const path = emptyImage(folder, 'disk', 64 * MiB)
  sfdisk(path, manyPartitions())
  const sound = toldBySfdisk(path)
  const last = 64 * MiB - 512
  const damages: Readonly<Record<string, readonly [number, number]>> = {
    'first header': [512, 512],
    'a byte of the first header': [512 + 40, 1],
    'first entries': [1024, 512],
    'last header': [last, 512],
    'last entries': [last - 32 * 512, 1],
    'the whole backup': [last - 32 * 512, 33 * 512],
  }
  for (const [what, [offset, length]] of Object.entries(damages)) {
    await apply(path, [{ offset, bytes: new Uint8Array(length).fill(0x5a) }])
    const table = await tableOf(path)
    t.ok(table.isTrustworthy && table.problems.length > 0, what)
    t.same(told(table), sound, `${what}: read from the other copy`)
    await apply(path, rewritePartitionTable(table).writes)
    verify(path)
    t.same(told(flawless(await tableOf(path))), sound, `${what}: repaired`)
  }
})

test('clones get ids of their own', { skip: without('sfdisk', 'sgdisk') }, async (t) => {
  const folder = folderFor(t)
  for (const script of [manyPartitions(), SFDISK_SCRIPTS['an MBR with logical partitions']!]) {
    const path = emptyImage(folder, 'disk', 64 * MiB)
    sfdisk(path, script)
    const before = toldBySfdisk(path)
    await apply(path, rewritePartitionTable(await tableOf(path), { newIdentity: true }).writes)
    verify(path)
    const after = toldBySfdisk(path)
    t.same(told(flawless(await tableOf(path))), after)
    t.not(after.id, before.id)
    const withoutIds = (table: typeof before): unknown =>
      table.partitions.map((partition) => ({ ...partition, uuid: '' }))
    t.same(withoutIds(after), withoutIds(before))
    const uuids = [...before.partitions, ...after.partitions].map(({ uuid }) => uuid)
    if (before.label === 'gpt') t.equal(new Set(uuids).size, uuids.length)
  }
})

test('an MBR on disks of other sizes', { skip: without('sfdisk') }, async (t) => {
  const folder = folderFor(t)
  const path = emptyImage(folder, 'disk', 64 * MiB)
  sfdisk(
    path,
    'label: dos\n\nstart=2048, size=4096, type=c\n3: start=8192, size=32768, type=5\nstart=10240, size=64, type=83\n',
  )
  const table = flawless(await tableOf(path, { sectorBytes: 512 }))
  truncateSync(path, 100 * MiB)
  const { writes } = rewritePartitionTable(table, { sizeBytes: 100 * MiB, grow: 3 })
  await apply(path, writes)
  verify(path)
  const grown = flawless(await tableOf(path))
  t.same(told(grown), toldBySfdisk(path))
  t.equal(grown.partitions[1]?.length, 96 * MiB)
  await apply(path, rewritePartitionTable(grown, { grow: 1 }).writes)
  verify(path)
  t.equal(toldBySfdisk(path).partitions[0]?.size, 6144)
  t.throws(() => rewritePartitionTable(grown, { grow: 5 }), { code: 'ERR_PARTITION_TABLE' })
  t.throws(() => rewritePartitionTable(grown, { sectorBytes: 4096 }), { code: 'ERR_PARTITION_TABLE' })
  t.throws(() => rewritePartitionTable(grown, { sizeBytes: 100 * MiB - 1 }), { code: 'ERR_TARGET_TOO_SMALL' })
})

const loop = has('losetup') && process.getuid?.() === 0 ? loopDevice() : undefined

/** Whether loop devices with sectors of 4096 bytes can be had. */
function loopDevice(): boolean | undefined {
  try {
    const folder = folderFor({ teardown: (done) => process.once('exit', done) })
    const device = run('losetup', ['-f', '--show', '-b', '4096', emptyImage(folder, 'probe', MiB)]).trim()
    run('losetup', ['-d', device])
    return true
  } catch {
    return undefined
  }
}

test('a device with sectors of 4096 bytes', {
  skip: !loop && 'loop devices need root on Linux',
}, async (t) => {
  const folder = folderFor(t)
  const path = emptyImage(folder, 'disk', 64 * MiB)
  const device = run('losetup', ['-f', '--show', '-b', '4096', path]).trim()
  try {
    sfdisk(device, 'label: gpt\n\nstart=256, size=1024, type=U\nstart=2048, type=L\n')
    await using source = await BlockDeviceSource.open(device)
    const table = flawless(await readPartitionTable(source))
    t.equal(table.sectorBytes, 4096)
    t.same(told(table), toldBySfdisk(device))
    await apply(device, [{ offset: 4096, bytes: new Uint8Array(4096) }])
    await using damaged = await BlockDeviceSource.open(device)
    await apply(
      device,
      rewritePartitionTable(await readPartitionTable(damaged), { newIdentity: true }).writes,
    )
    verify(device)
  } finally {
    run('losetup', ['-d', device])
  }
})

test('GUIDs stand as they are written', async (t) => {
  t.equal(guidBytes(ESP.toLowerCase()).toString('hex'), '28732ac11ff8d211ba4b00a0c93ec93b')
})
