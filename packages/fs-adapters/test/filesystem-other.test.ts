import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { Extent } from '@platter/core'
import {
  FileSource,
  MemorySource,
  probeFilesystem,
  type ReadPolicy,
  StreamSource,
  usedExtents,
} from '@platter/fs-adapters'
import { test } from 'tap'
import { emptyImage, MemoryVolume, MiB, missing, run } from './filesystems/images.ts'
import { mapOf } from './filesystems/used-map-conformance.ts'

const PAGE = 4096

/** A header of swap space, as mkswap writes it, and pages that are not zero. */
function swapImage({ pages = 16, pageBytes = PAGE, signature = 'SWAPSPACE2' } = {}): Uint8Array {
  const bytes = new Uint8Array(pages * pageBytes).fill(0x5a, pageBytes)
  const data = new DataView(bytes.buffer)
  data.setUint32(1024, 1, true)
  data.setUint32(1028, pages - 1, true)
  bytes.set(new TextEncoder().encode('area'), 1052)
  bytes.set(Buffer.from(signature, 'latin1'), pageBytes - 10)
  return bytes
}

test('swap: its header is kept, its pages are told apart', { skip: missing('mkswap') }, async (t) => {
  for (const pageBytes of [4096, 16384, 65536]) {
    const image = emptyImage(join(t.testdir(), `swap-${pageBytes}`), 2 * MiB + 5000)
    run('mkswap', '-p', `${pageBytes}`, '-L', 'area', '-U', '12345678-1234-1234-1234-123456789abc', image)
    const map = await mapOf(image)
    const sizeBytes = Math.floor((2 * MiB + 5000) / pageBytes) * pageBytes
    t.same(map.filesystem, {
      type: 'swap',
      label: 'area',
      uuid: '12345678-1234-1234-1234-123456789abc',
      blockBytes: pageBytes,
      sizeBytes,
    })
    t.same(
      [...map.extents()],
      [
        { offset: 0, length: pageBytes, use: 'used' },
        { offset: pageBytes, length: sizeBytes - pageBytes, use: 'swap' },
        { offset: sizeBytes, length: 2 * MiB + 5000 - sizeBytes, use: 'used' },
      ],
    )
  }
})

test('swap that is not in order is read whole', async (t) => {
  const codeOf = async (bytes: Uint8Array) => (await probeFilesystem(new MemoryVolume(bytes))).problem?.code
  t.equal(await codeOf(swapImage()), undefined)
  for (const signature of [
    'S1SUSPEND\0',
    'S2SUSPEND\0',
    'ULSUSPEND\0',
    'LINHIB0001',
    '\xed\xc3\x02\xe9\x98\x56\xe5\x0c\0\0',
  ]) {
    t.equal(await codeOf(swapImage({ signature })), 'hibernated', JSON.stringify(signature))
  }
  t.equal(await codeOf(swapImage({ signature: 'SWAP-SPACE' })), 'unknown-feature')
  t.equal(await codeOf(swapImage().subarray(0, -1)), 'out-of-range')
  const changed = (at: number, value: number) => {
    const bytes = swapImage()
    new DataView(bytes.buffer).setUint32(at, value, true)
    return bytes
  }
  t.equal(await codeOf(changed(1024, 2)), 'unknown-feature')
  t.equal(await codeOf(changed(1024, 0x01000000)), 'unknown-feature', 'big endian')
  t.equal(await codeOf(changed(1028, 0)), 'inconsistent')
  t.equal(await codeOf(changed(1028, 0xffffffff)), 'out-of-range')
})

test('LUKS is recognised and read whole', { skip: missing('cryptsetup') }, async (t) => {
  const folder = t.testdir()
  const key = join(folder, 'key')
  writeFileSync(key, 'not a secret')
  const cheap = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--key-file', key]
  for (const version of [1, 2]) {
    const image = emptyImage(join(folder, `luks${version}`), 18 * MiB)
    const label = version === 2 ? ['--label', 'vault'] : []
    run('cryptsetup', 'luksFormat', '-q', '--type', `luks${version}`, ...cheap, ...label, image)
    const uuid = run('cryptsetup', 'luksUUID', image).trim()
    const map = await mapOf(image)
    t.equal(map.state, 'read-whole')
    t.equal(map.problem?.code, 'opaque')
    t.match(map.filesystem, { type: `luks${version}`, uuid, label: version === 2 ? 'vault' : undefined })
    t.same(map.bytes, { used: 18 * MiB, free: 0, swap: 0 })
  }
})

test('what nobody knows, or more than one claims, is read whole', async (t) => {
  const codeOf = async (bytes: Uint8Array) => {
    const { state, problem, filesystem } = await probeFilesystem(new MemoryVolume(bytes))
    t.equal(state, 'read-whole')
    t.equal(filesystem, undefined)
    return problem?.code
  }
  for (const size of [0, 1, 511, 512, 4096, MiB]) t.equal(await codeOf(new Uint8Array(size)), 'unrecognised')
  const marks: Record<string, [at: number, bytes: string]> = {
    LUKS: [0, 'LUKS\xba\xbe\x00\x01'],
    LVM2: [512, 'LABELONE'],
    btrfs: [65600, '_BHRfS_M'],
    ZFS: [200 * 1024, '\x0c\xb1\xba\x00\x00\x00\x00\x00'],
    BitLocker: [424, '\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01'],
    RAID: [0, '\xfc\x4e\x2b\xa9'],
  }
  for (const [name, [at, mark]] of Object.entries(marks)) {
    const bytes = swapImage({ pages: 256 })
    bytes.set(Buffer.from(mark, 'latin1'), at)
    t.equal(await codeOf(bytes), 'ambiguous', name)
  }
})

async function collected(extents: AsyncIterable<Extent>): Promise<string[]> {
  const all: string[] = []
  for await (const { offset, length, kind } of extents) all.push(`${kind} ${offset / PAGE}+${length / PAGE}`)
  return all
}

test('usedExtents: what a policy leaves out is unused, and holes stay holes', async (t) => {
  const bytes = swapImage({ pages: 8 })
  const source = new MemorySource(bytes, {
    extents: [
      { offset: 0, length: 3 * PAGE, kind: 'data' },
      { offset: 3 * PAGE, length: PAGE, kind: 'hole' },
      { offset: 4 * PAGE, length: 4 * PAGE, kind: 'data' },
    ],
  })
  const whole = ['data 0+3', 'hole 3+1', 'data 4+4']
  const cases: Record<ReadPolicy, string[]> = {
    used: ['data 0+1', 'unused 1+2', 'hole 3+1', 'unused 4+4'],
    'used-and-swap': whole,
    whole,
  }
  for (const [policy, expected] of Object.entries(cases) as [ReadPolicy, string[]][]) {
    const used = await usedExtents(source, { policy })
    t.same(await collected(used.extents()), expected, policy)
    t.same(await collected(used.extents()), expected, `${policy}, again`)
    t.equal(used.policy, policy)
    t.same(used.leftOut, { free: 0, swap: policy === 'used' ? 7 * PAGE : 0 })
    t.equal(used.map?.state, policy === 'whole' ? undefined : 'used-map')
  }
  const sleeping = await usedExtents(new MemorySource(swapImage({ pages: 8, signature: 'S1SUSPEND\0' })))
  t.same(await collected(sleeping.extents()), ['data 0+8'])
  t.match(sleeping, { leftOut: { free: 0, swap: 0 }, map: { problem: { code: 'hibernated' } } })
  await t.rejects(usedExtents(source, { signal: AbortSignal.abort() }), { name: 'AbortError' })
  const stream = new StreamSource(Readable.from([bytes]))
  await t.rejects(usedExtents(stream), { code: 'ERR_INVALID_ARGUMENT' })
})

test('usedExtents of a sparse file with a filesystem', { skip: missing('mke2fs') }, async (t) => {
  const image = emptyImage(join(t.testdir(), 'image'), 8 * MiB)
  run('mke2fs', '-q', '-F', '-t', 'ext4', '-b', '4096', image)
  await using source = await FileSource.open(image)
  const used = await usedExtents(source)
  const read = Buffer.alloc(8 * MiB)
  let end = 0
  for await (const { offset, length, kind } of used.extents()) {
    t.equal(offset, end)
    end += length
    if (kind === 'data') await source.read(offset, read.subarray(offset, end))
  }
  t.equal(end, 8 * MiB)
  t.equal(used.leftOut.free, used.map?.bytes.free)
  // mke2fs writes nothing into free blocks of a new file, so here they are zeros, as they are when restored.
  t.ok(read.equals(readFileSync(image)))
})
