// Disks in memory: what is left out of any disk, and when nothing is.
import { PassThrough } from 'node:stream'
import type { BlockSource, DiskPolicy, Extent } from '@platter/core'
import { DiskSource, MemorySource, openDisk, StreamSource } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'

const PAGE = 4096
const SECTOR = 512
const LEAST = 64 * 1024

interface Piece {
  readonly kind: 'swap' | 'hibernated' | 'unknown'
  readonly gapSectors: number
  readonly pages: number
  /** Bytes behind the last page, in sectors. */
  readonly tailSectors: number
}

interface Layout {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly partitions: readonly (Piece & { readonly offset: number; readonly length: number })[]
}

/** A disk with an MBR and partitions that hold swap space, or seem to; all else is noise that is never zero. */
function diskOf(pieces: readonly Piece[], endSectors: number, isReversed = false): Layout {
  let sector = 1
  const partitions = pieces.map((piece) => {
    const offset = (sector + piece.gapSectors) * SECTOR
    const length = piece.pages * PAGE + piece.tailSectors * SECTOR
    sector = (offset + length) / SECTOR
    return { ...piece, offset, length }
  })
  // Long enough that the table fits no disk with sectors of 4096 bytes.
  const bytes = new Uint8Array((sector + endSectors) * SECTOR)
  for (let i = 0; i < bytes.length; i++) bytes[i] = 1 + ((i * 31 + (i >>> 9)) % 255)
  bytes.fill(0, 0, SECTOR)
  const table = new DataView(bytes.buffer)
  const entries = isReversed ? [...partitions].reverse() : partitions
  entries.forEach(({ offset, length }, i) => {
    const at = 446 + 16 * i
    table.setUint8(at + 4, 0x82)
    table.setUint32(at + 8, offset / SECTOR, true)
    table.setUint32(at + 12, length / SECTOR, true)
  })
  table.setUint16(510, 0xaa55, true)
  for (const partition of partitions) writeSwap(bytes, partition)
  return { bytes, partitions }
}

function writeSwap(bytes: Uint8Array, { kind, offset, pages }: Layout['partitions'][number]): void {
  const page = new Uint8Array(PAGE)
  const header = new DataView(page.buffer)
  if (kind !== 'unknown') {
    header.setUint32(1024, 1, true)
    header.setUint32(1028, pages - 1, true)
    page.set(Buffer.from(kind === 'swap' ? 'SWAPSPACE2' : 'S1SUSPEND\0', 'latin1'), PAGE - 10)
  }
  bytes.set(page, offset)
}

/** What a policy has to leave out: pages of swap space that are in order, in whole blocks of the disk. */
function wanted({ bytes, partitions }: Layout, policy: DiskPolicy): { offset: number; length: number }[] {
  if (policy !== 'used') return []
  return partitions
    .filter(({ kind }) => kind === 'swap')
    .map(({ offset, pages }) => {
      const from = Math.ceil((offset + PAGE) / PAGE) * PAGE
      const end = offset + pages * PAGE
      // The last block of a disk may be cut short by its end.
      const to = end === bytes.length ? end : Math.floor(end / PAGE) * PAGE
      return { offset: from, length: to - from }
    })
    .filter(({ length }) => length >= LEAST)
}

const piece: fc.Arbitrary<Piece> = fc.record({
  kind: fc.constantFrom('swap', 'swap', 'hibernated', 'unknown'),
  gapSectors: fc.nat(40),
  pages: fc.integer({ min: 12, max: 60 }),
  tailSectors: fc.nat(12),
})

async function collected(source: BlockSource): Promise<Extent[]> {
  const extents: Extent[] = []
  for await (const extent of source.extents()) extents.push(extent)
  return extents
}

test('any disk: exactly what is not in use is left out, all else is as it was', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { minLength: 1, maxLength: 4 }),
      fc.nat(60),
      fc.constantFrom<DiskPolicy>('used', 'used', 'used-and-swap', 'exact'),
      fc.array(fc.nat(10_000), { maxLength: 6 }),
      fc.boolean(),
      async (pieces, endSectors, policy, cuts, isReversed) => {
        const layout = diskOf(pieces, endSectors, isReversed)
        const { bytes } = layout
        const inner = extentsCut(bytes.length, cuts)
        const source = await DiskSource.open(new MemorySource(bytes, { extents: inner }), { policy })
        // A last partition that fits disks with both sizes of sectors makes the table a doubtful one.
        const isTrusted = source.survey.table.isTrustworthy
        const unused = isTrusted ? wanted(layout, policy) : []
        const kinds = new Map<number, string>()
        for (const { offset, length, kind } of inner) mark(kinds, offset, length, kind)
        for (const { offset, length } of unused) mark(kinds, offset, length, 'unused')
        let end = 0
        for (const { offset, length, kind } of await collected(source)) {
          if (offset !== end || length <= 0) throw new Error(`extents do not cover the disk at ${offset}`)
          for (let at = offset; at < offset + length; at += SECTOR)
            if (kinds.get(at) !== kind) throw new Error(`${kind} at ${at}, not ${kinds.get(at)}`)
          end += length
        }
        if (end !== bytes.length) throw new Error('extents end early')
        const sum = source.disk.partitions
          .flatMap(({ volume }) => volume?.leftOut ?? [])
          .reduce((total, each) => total + each.bytes, 0)
        const expected = unused.reduce((total, each) => total + each.length, 0)
        if (sum !== expected) throw new Error(`${sum} bytes are said to be left out, not ${expected}`)
        if (source.disk.policy !== policy || source.disk.usage.length !== 128) throw new Error('description')
      },
    ),
    { numRuns: 150 },
  )
  t.pass('all of them')
})

function mark(kinds: Map<number, string>, offset: number, length: number, kind: string): void {
  for (let at = offset; at < offset + length; at += SECTOR) kinds.set(at, kind)
}

/** Extents of data and holes in turn, cut at sectors. */
function extentsCut(sizeBytes: number, cuts: readonly number[]): Extent[] {
  const sectors = sizeBytes / SECTOR
  const borders = [...new Set([0, ...cuts.map((cut) => cut % sectors), sectors])].sort((a, b) => a - b)
  return borders.slice(1).map((to, i) => ({
    offset: borders[i]! * SECTOR,
    length: (to - borders[i]!) * SECTOR,
    kind: i % 2 === 0 ? 'data' : 'hole',
  }))
}

const SWAP: Piece = { kind: 'swap', gapSectors: 7, pages: 100, tailSectors: 0 }

test('two partitions of which one is in doubt: the other is still left out', async (t) => {
  const { bytes, partitions } = diskOf([SWAP, { ...SWAP, kind: 'hibernated' }], 30)
  const source = await DiskSource.open(new MemorySource(bytes))
  t.match(source.disk.partitions, [
    { number: 1, volume: { filesystem: { type: 'swap' }, usedBytes: PAGE } },
    { number: 2, volume: { leftOut: [], problem: { code: 'hibernated' } } },
  ])
  const unused = (await collected(source)).filter(({ kind }) => kind === 'unused')
  t.equal(unused.length, 1)
  t.ok(unused[0]!.offset + unused[0]!.length <= partitions[0]!.offset + partitions[0]!.length)
})

test('a partition that is mounted, or a member of a RAID, is read whole', async (t) => {
  const { bytes, partitions } = diskOf([SWAP, SWAP], 30)
  const codes = async (source: Uint8Array<ArrayBuffer>, mounts?: object) => {
    const disk = await DiskSource.open(
      new MemorySource(source),
      mounts === undefined ? {} : ({ mounts } as never),
    )
    return disk.disk.partitions.map(({ volume }) => volume?.problem?.code)
  }
  t.same(await codes(bytes), [undefined, undefined])
  t.same(await codes(bytes, { disk: undefined, partitions: new Map([[2, '/srv']]) }), [undefined, 'mounted'])
  t.same(await codes(bytes, { disk: '/srv', partitions: new Map() }), ['mounted', 'mounted'])
  const { offset, length } = partitions[0]!
  const places = [Math.floor(length / LEAST) * LEAST - LEAST, Math.floor((length - 8192) / PAGE) * PAGE]
  for (const place of places)
    for (const littleEndian of [true, false]) {
      const member = bytes.slice()
      new DataView(member.buffer).setUint32(offset + place, 0xa92b4efc, littleEndian)
      t.same(await codes(member), ['ambiguous', undefined], `${place}`)
    }
})

test('a table that cannot be trusted: everything is read', async (t) => {
  const { bytes } = diskOf([SWAP, SWAP], 30)
  const table = new DataView(bytes.buffer)
  table.setUint32(446 + 16 + 8, table.getUint32(446 + 8, true) + 3, true)
  const source = await DiskSource.open(new MemorySource(bytes))
  t.match(source.disk, { table: { problems: [{ severity: 'error', code: 'overlap' }] } })
  t.notOk(source.disk.partitions.some(({ volume }) => volume !== undefined))
  t.same(await collected(source), [{ offset: 0, length: bytes.length, kind: 'data' }])
  t.ok(source.disk.usage.every((share) => share === 255))
})

test('what was written to meanwhile is found out', async (t) => {
  const change = async (policy: DiskPolicy, at: (layout: Layout) => [number, number]) => {
    const layout = diskOf([SWAP, { ...SWAP, kind: 'unknown' }], 30)
    const source = await DiskSource.open(new MemorySource(layout.bytes), { policy })
    await source.assertUnchanged()
    layout.bytes.set(
      Buffer.from('S1SUSPEND\0', 'latin1'),
      at(layout).reduce((a, b) => a + b),
    )
    return source.assertUnchanged()
  }
  await t.rejects(
    change('used', ({ partitions }) => [partitions[0]!.offset, PAGE - 10]),
    { code: 'ERR_SOURCE_CHANGED', details: { path: 'memory' } },
  )
  await t.resolves(change('exact', ({ partitions }) => [partitions[0]!.offset, PAGE - 10]))
  await t.resolves(change('used', ({ partitions }) => [partitions[1]!.offset, PAGE - 10]))
})

test('sizes of a damaged head that cannot be are not in the description', async (t) => {
  const bytes = new Uint8Array(2 ** 21)
  const view = new DataView(bytes.buffer)
  bytes.set(Buffer.from('\xeb\x52\x90NTFS    ', 'latin1'))
  view.setUint16(11, 512, true)
  bytes.set([8], 13)
  bytes.set([0xf8], 21)
  // One wrong bit makes it 2^63 sectors.
  view.setBigUint64(40, 2n ** 63n + 4095n, true)
  view.setBigUint64(48, 4n, true)
  view.setBigUint64(56, 2n, true)
  bytes.set([0xf6], 64)
  bytes.set([0xf6], 68)
  bytes.set([0x55, 0xaa], 510)
  const { disk } = await DiskSource.open(new MemorySource(bytes))
  t.match(disk.volume, { filesystem: { type: 'ntfs', sizeBytes: 0 }, problem: { code: 'out-of-range' } })
})

test('streams and policies that are none', async (t) => {
  await t.rejects(DiskSource.open(new StreamSource(new PassThrough())), { code: 'ERR_SOURCE_UNSUPPORTED' })
  const source = new MemorySource(new Uint8Array(0))
  await t.rejects(DiskSource.open(source, { policy: 'whole' as DiskPolicy }), {
    code: 'ERR_INVALID_ARGUMENT',
  })
  const empty = await DiskSource.open(source)
  t.match(empty.disk, { table: { kind: 'none' }, partitions: [], usage: [] })
  t.equal(empty.disk.volume, undefined)
  t.same(await collected(empty), [])
  await t.rejects(openDisk('/nowhere/at/all'), { code: 'ERR_SOURCE_NOT_FOUND' })
  await t.rejects(DiskSource.open(new MemorySource(diskOf([SWAP], 9).bytes), { signal: AbortSignal.abort() }))
})
