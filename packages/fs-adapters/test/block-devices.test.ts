import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  BlockDeviceSource,
  BlockDeviceTarget,
  FileTarget,
  loadLinuxCalls,
  openSource,
  openTarget,
  type SourceWarning,
} from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'

const MiB = 2 ** 20

/** A loop device over `image`, or undefined where there are none. */
function attach(image: string, ...options: string[]): string | undefined {
  try {
    return execFileSync('losetup', ['-f', '--show', ...options, image], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .trim()
  } catch {
    return undefined
  }
}

function detach(device: string): void {
  execFileSync('losetup', ['-d', device])
}

function canUseLoopDevices(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const folder = mkdtempSync(join(tmpdir(), 'loop-probe-'))
  const image = join(folder, 'image')
  writeFileSync(image, new Uint8Array(MiB))
  const device = attach(image)
  if (device) detach(device)
  rmSync(folder, { recursive: true })
  return device !== undefined
}

const skip = !canUseLoopDevices() && 'loop devices need root on Linux'

test('what is no block device is refused', async (t) => {
  const path = join(t.testdir({ file: 'x' }), 'file')
  await rejection(BlockDeviceSource.open(path), 'ERR_SOURCE_UNSUPPORTED')
  await rejection(BlockDeviceTarget.open(path), 'ERR_TARGET_UNSUPPORTED')
  await rejection(BlockDeviceSource.open(`${path}-missing`), 'ERR_SOURCE_NOT_FOUND')
  await rejection(BlockDeviceTarget.open(`${path}-missing`), 'ERR_TARGET_NOT_FOUND')
  t.pass()
})

test('reading a block device', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  writeFileSync(image, pattern(4 * MiB + 1536))
  const device = attach(image) as string
  t.teardown(() => detach(device))
  for (const linuxCalls of [undefined, false] as const) {
    await using source = await openSource(device, linuxCalls === undefined ? {} : { linuxCalls })
    t.match(source.info, {
      kind: 'block-device',
      label: device,
      sizeBytes: 4 * MiB + 1536,
      logicalSectorBytes: 512,
      physicalSectorBytes: 512,
    })
    t.type(source.direct?.fd, 'number')
    const extents = []
    for await (const extent of source.extents()) extents.push(extent)
    t.same(extents, [{ offset: 0, length: 4 * MiB + 1536, kind: 'data' }])
    const into = new Uint8Array(5 * MiB)
    t.equal(await source.read(100, into), 4 * MiB + 1536 - 100)
    t.ok(sameBytes(into.subarray(0, 1000), pattern(1100).subarray(100)))
    t.equal(await source.read(4 * MiB + 1536, into), 0)
    await source.assertUnchanged()
  }
})

test('a device with large sectors', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  writeFileSync(image, new Uint8Array(4 * MiB))
  const device = attach(image, '-b', '4096')
  if (device === undefined) {
    t.comment('not tested: no large sectors here')
    return
  }
  t.teardown(() => detach(device))
  await using source = await BlockDeviceSource.open(device)
  t.match(source.info, { sizeBytes: 4 * MiB, logicalSectorBytes: 4096, physicalSectorBytes: 4096 })
})

test('a device that is resized while it is read', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  writeFileSync(image, new Uint8Array(4 * MiB))
  const device = attach(image) as string
  t.teardown(() => detach(device))
  await using source = await openSource(device)
  truncateSync(image, 8 * MiB)
  execFileSync('losetup', ['-c', device])
  const error = await rejection(source.assertUnchanged(), 'ERR_SOURCE_CHANGED')
  t.same([error.details.expected, error.details.actual], [4 * MiB, 8 * MiB])
})

interface Internals {
  sizeByReading(handle: { read(...args: never[]): Promise<{ bytesRead: number }> }): Promise<number>
  parseMounts(text: string): unknown[]
  parseSwaps(text: string): string[]
}

/** Parts of the package that are not exported. */
async function internals(file: string): Promise<Internals> {
  return (await import(new URL(`../dist/system/${file}.js`, import.meta.url).href)) as Internals
}

test('a search by reading finds any size', async (t) => {
  const { sizeByReading } = await internals('block-device')
  const max = 2 ** 45
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.nat(2000), fc.integer({ min: 0, max })), async (size) => {
      const read = async (_into: Uint8Array, _at: number, _length: number, position: number) => ({
        bytesRead: position < size ? 1 : 0,
      })
      return (await sizeByReading({ read })) === size
    }),
  )
  t.pass()
})

test('the tables of mounts and swap space', async (t) => {
  const { parseMounts, parseSwaps } = await internals('device-use')
  const mounts = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
    '40 35 0:44 / /srv/my\\040disk rw shared:1 master:2 - btrfs /dev/sdb1 ro,rw',
    'nonsense',
    '',
  ]
  t.same(parseMounts(mounts.join('\n')), [
    { device: '98:0', path: '/mnt2', source: '/dev/root', writable: true },
    { device: '0:44', path: '/srv/my disk', source: '/dev/sdb1', writable: false },
  ])
  const swaps = 'Filename\t\t\tType\t\tSize\n/dev/sda2 partition\t1\n/var/a\\040b file\t\t2\n'
  t.same(parseSwaps(swaps), ['/dev/sda2', '/var/a b'])
  t.same(parseSwaps(''), [])
})

test('the kernel and a search by reading agree on the size', { skip }, async (t) => {
  const calls = loadLinuxCalls()
  const image = join(t.testdir(), 'image')
  const { sizeByReading } = await internals('block-device')
  for (const size of [512, 4096, 3 * MiB + 512, 2 ** 32 + 1536]) {
    writeFileSync(image, '')
    truncateSync(image, size)
    const device = attach(image) as string
    const handle = await open(device)
    t.equal(await sizeByReading(handle), size, 'by reading')
    if (calls) t.equal(calls.blockDeviceBytes(handle.fd), size, 'by asking')
    await handle.close()
    detach(device)
  }
})

test('writing a block device', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  for (const options of [{}, { linuxCalls: false }] as const) {
    writeFileSync(image, pattern(8 * MiB))
    const device = attach(image) as string
    const target = await openTarget(device, options)
    t.match(target.info, { kind: 'block-device', label: device, capacityBytes: 8 * MiB })
    t.equal(target.info.logicalSectorBytes, 512)
    t.match(target.info.identity, image, 'a loop device is told by its file')
    const tooSmall = await rejection(target.prepare(8 * MiB + 1), 'ERR_TARGET_TOO_SMALL')
    t.same([tooSmall.details.expected, tooSmall.details.actual], [8 * MiB + 1, 8 * MiB])
    t.same(await target.prepare(6 * MiB + 100), { blank: false })
    const expected = pattern(8 * MiB)
    await target.write(1000, pattern(100_000, 9))
    expected.set(pattern(100_000, 9), 1000)
    for (const [offset, length] of [
      [50_000, 3_000_001],
      [4 * MiB, MiB],
      [5 * MiB + 10, 20],
      [6 * MiB, 100],
    ] as const) {
      await target.zero(offset, length)
      expected.fill(0, offset, offset + length)
    }
    await target.write(2 * MiB + 77, pattern(5000, 3))
    expected.set(pattern(5000, 3), 2 * MiB + 77)
    const into = new Uint8Array(6 * MiB)
    await target.read?.(0, into)
    t.ok(sameBytes(into, expected.subarray(0, 6 * MiB)), 'read back')
    await rejection(target.write(6 * MiB + 100, pattern(1)), 'ERR_INVALID_ARGUMENT')
    await target.flush()
    await target.close()
    t.ok(sameBytes(readFileSync(device), expected), 'and nothing behind the image was touched')
    detach(device)
  }
})

const linuxCalls = loadLinuxCalls()

test('zeroing is left to the kernel', { skip: skip || (!linuxCalls && 'without koffi') }, async (t) => {
  for (const discards of [true, false]) {
    const image = join(t.testdir(), 'image')
    writeFileSync(image, pattern(16 * MiB))
    const device = attach(image) as string
    const ranges: string[] = []
    const calls = {
      ...(linuxCalls as NonNullable<typeof linuxCalls>),
      async punchHole(fd: number, offset: number, length: number): Promise<void> {
        ranges.push(`discard ${offset}+${length}`)
        if (!discards) throw Object.assign(new Error('It cannot.'), { code: 'EOPNOTSUPP' })
        await linuxCalls?.punchHole(fd, offset, length)
      },
      async zeroBlocks(fd: number, offset: number, length: number): Promise<void> {
        await linuxCalls?.zeroBlocks(fd, offset, length)
        ranges.push(`zero ${offset}+${length}`)
      },
    }
    const target = await BlockDeviceTarget.open(device, { linuxCalls: calls })
    await target.prepare(16 * MiB)
    await target.zero(1, 16 * MiB - 2)
    const range = `4096+${16 * MiB - 8192}`
    t.same(ranges, discards ? [`discard ${range}`] : [`discard ${range}`, `zero ${range}`])
    await target.flush()
    const expected = new Uint8Array(16 * MiB)
    expected[0] = pattern(1)[0] as number
    expected[16 * MiB - 1] = pattern(16 * MiB)[16 * MiB - 1] as number
    t.ok(sameBytes(readFileSync(device), expected))
    await target.close()
    detach(device)
  }
})

test('a device that was written to behind its memory', {
  skip: skip || (!linuxCalls && 'without koffi'),
}, async (t) => {
  // As a disk is whose partition was mounted: the kernel does not renew what it holds of the disk.
  const image = join(t.testdir(), 'image')
  writeFileSync(image, new Uint8Array(MiB))
  const device = attach(image) as string
  t.teardown(() => detach(device))
  const first = async (source: Pick<BlockDeviceSource, 'read'>): Promise<number> => {
    const into = new Uint8Array(4096)
    await source.read(8192, into)
    return into[0]!
  }
  // Held open, as by another partition that is mounted: at the last close all is forgotten.
  await using holder = await openSource(device)
  t.equal(await first(holder), 0)
  writeFileSync(image, new Uint8Array(MiB).fill(1))
  execFileSync('sync', [image])
  await using source = await openSource(device)
  t.equal(await first(source), 1, 'opened anew')
  writeFileSync(image, new Uint8Array(MiB).fill(2))
  execFileSync('sync', [image])
  await source.assertUnchanged()
  t.equal(await first(source), 2, 'looked at again')
  const codes: string[] = []
  await (await openSource(device, { linuxCalls: false, onWarning: ({ code }) => codes.push(code) })).close()
  t.same(codes, ['WARN_SOURCE_CACHED'])
})

test('a mounted device is refused', { skip }, async (t) => {
  const folder = t.testdir({ mnt: {} })
  const [image, mountPoint] = [join(folder, 'image'), join(folder, 'mnt')]
  writeFileSync(image, '')
  truncateSync(image, 16 * MiB)
  execFileSync('mkfs.ext4', ['-q', '-F', image], { stdio: 'ignore' })
  const device = attach(image) as string
  t.teardown(() => detach(device))
  execFileSync('mount', [device, mountPoint])
  const error = await rejection(openTarget(device), 'ERR_TARGET_MOUNTED')
  t.match(error.message, `mounted at ${mountPoint}`)
  await using forced = await openTarget(device, { force: true })
  t.equal(forced.info.capacityBytes, 16 * MiB)
  await using source = await openSource(device)
  t.equal(source.info.sizeBytes, 16 * MiB, 'reading a mounted device is allowed')
  await source.close()
  await forced.close()
  execFileSync('umount', [mountPoint])
  const target = await openTarget(device)
  await rejection(openTarget(device), 'ERR_TARGET_MOUNTED')
  await target.close()
  await (await openTarget(device)).close()
})

test('a device that is mounted for writing is read after a warning', { skip }, async (t) => {
  const folder = t.testdir({ mnt: {}, other: {} })
  const [image, mountPoint, other] = [join(folder, 'image'), join(folder, 'mnt'), join(folder, 'other')]
  writeFileSync(image, '')
  truncateSync(image, 16 * MiB)
  execFileSync('mkfs.ext4', ['-q', '-F', image], { stdio: 'ignore' })
  const device = attach(image) as string
  t.teardown(() => detach(device))
  const warnings = async (): Promise<SourceWarning[]> => {
    const given: SourceWarning[] = []
    await (await openSource(device, { onWarning: (warning) => given.push(warning) })).close()
    return given
  }
  t.same(await warnings(), [], 'not mounted')
  execFileSync('mount', ['-o', 'ro', device, mountPoint])
  t.same(await warnings(), [], 'mounted, but only for reading')
  execFileSync('umount', [mountPoint])

  execFileSync('mount', [device, mountPoint])
  const [warning, ...others] = await warnings()
  t.match(warning, { code: 'WARN_SOURCE_MOUNTED', path: device, message: `for writing at ${mountPoint}` })
  t.same(others, [])
  execFileSync('mount', ['-o', 'bind,ro', mountPoint, other])
  execFileSync('umount', [mountPoint])
  t.equal((await warnings()).length, 1, 'another view of it is for reading only, the file system is not')
  execFileSync('umount', [other])
  t.same(await warnings(), [])
})

test('swap space is refused', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  writeFileSync(image, new Uint8Array(2 * MiB))
  const device = attach(image) as string
  t.teardown(() => detach(device))
  try {
    execFileSync('mkswap', [device], { stdio: 'ignore' })
    execFileSync('swapon', [device], { stdio: 'ignore' })
  } catch {
    t.comment('not tested: swapon is not allowed here')
    return
  }
  const error = await rejection(openTarget(device), 'ERR_TARGET_MOUNTED')
  t.match(error.message, 'swap space')
  execFileSync('swapoff', [device])
})

test('a device held open by another is refused, with whatever it is called', { skip }, async (t) => {
  const folder = t.testdir()
  const image = join(folder, 'image')
  writeFileSync(image, new Uint8Array(2 * MiB))
  const device = attach(image) as string
  t.teardown(() => detach(device))
  const { rdev } = statSync(device)
  const alias = join(folder, 'alias')
  try {
    execFileSync('mknod', [alias, 'b', String(rdev >> 8), String(rdev & 0xff)])
    closeSync(openSync(alias, 'r'))
  } catch {
    t.comment('not tested: no device nodes here')
    return
  }
  const holder = await openTarget(device)
  await rejection(openTarget(alias), 'ERR_TARGET_MOUNTED')
  await holder.close()
  await using source = await openSource(alias)
  t.equal(source.info.sizeBytes, 2 * MiB)
})

test('a read-only device is refused', { skip }, async (t) => {
  const image = join(t.testdir(), 'image')
  writeFileSync(image, new Uint8Array(MiB))
  const device = attach(image, '-r') as string
  t.teardown(() => detach(device))
  await rejection(openTarget(device), 'ERR_TARGET_ACCESS')
  t.pass()
})

test('a device that fails under it', { skip }, async (t) => {
  // Cutting the file under a loop device makes what lies behind the cut unreadable.
  const image = join(t.testdir(), 'image')
  writeFileSync(image, pattern(4 * MiB))
  const device = attach(image) as string
  t.teardown(() => detach(device))
  truncateSync(image, MiB)
  await using source = await openSource(device)
  const into = new Uint8Array(4096)
  t.equal(await source.read(0, into), 4096)
  const error = await rejection(source.read(2 * MiB, into), 'ERR_SOURCE_READ')
  t.same([error.details.offset, error.details.systemCode], [2 * MiB, 'EIO'])
})

test('a full file system', { skip }, async (t) => {
  const folder = t.testdir({ mnt: {} })
  const [image, mountPoint] = [join(folder, 'image'), join(folder, 'mnt')]
  writeFileSync(image, '')
  truncateSync(image, 8 * MiB)
  execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', image], { stdio: 'ignore' })
  execFileSync('mount', ['-o', 'loop', image, mountPoint])
  try {
    const target = await FileTarget.open(join(mountPoint, 'image'))
    await target.prepare(100 * MiB)
    const data = new Uint8Array(MiB).fill(7)
    const writeAll = async (): Promise<void> => {
      for (let at = 0; at < 100 * MiB; at += data.length) await target.write(at, data)
      await target.flush()
    }
    const error = await rejection(writeAll(), 'ERR_TARGET_FULL')
    t.equal(error.details.systemCode, 'ENOSPC')
    await target.close()
  } finally {
    execFileSync('umount', ['-l', mountPoint])
  }
})
