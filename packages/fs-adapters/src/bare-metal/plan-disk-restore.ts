import { createHash } from 'node:crypto'
import { type BlockSource, PlatterError } from '@platter/core'
import { probeFilesystem } from '../filesystems/probe-filesystem.ts'
import { volumeOf } from '../filesystems/volume.ts'
import type { ByteRange, Partition, PartitionTable } from '../partitions/partition-table.ts'
import { endOf } from '../partitions/partition-table.ts'
import { readPartitionTable } from '../partitions/read-partition-table.ts'
import { type DiskWrite, rewritePartitionTable } from '../partitions/rewrite-partition-table.ts'
import type { DiskRestoreOptions, DiskRestorePlan, RestorePlace } from './disk-restore-plan.ts'
import { growingTool } from './growing-tools.ts'
import { mergedRanges, overlapOf, without } from './ranges.ts'
import { readFully } from './read-fully.ts'

/**
 * What is written last at the beginning of a target, at least: there are partition tables, boot loaders, and what makes
 * a filesystem one, of btrfs too.
 */
const HEAD_BYTES = 128 * 1024
const SCAN_BYTES = 1024 * 1024

/**
 * Plans how an image of a disk, or one partition of it, is brought to another place, which may be larger, or smaller as
 * long as all that is used fits. Only reads; everything that can be refused is refused here. See `restoreDisk`.
 *
 * @param disk the image; `imageSource` makes one of a snapshot's image.
 * @param place where it shall go: the `info` of a target, or what `inspectTarget` found.
 * @throws ERR_TARGET_TOO_SMALL, ERR_PARTITION_TABLE, ERR_INVALID_ARGUMENT, and what the source throws.
 */
export async function planDiskRestore(
  disk: BlockSource,
  place: RestorePlace,
  options: DiskRestoreOptions = {},
): Promise<DiskRestorePlan> {
  const { signal, sectorBytes } = options
  const table = await readPartitionTable(disk, {
    ...(signal === undefined ? {} : { signal }),
    ...(sectorBytes === undefined ? {} : { sectorBytes }),
  })
  return options.partition === undefined
    ? await planWholeDisk(disk, table, place, options)
    : await planPartition(disk, table, options.partition, place, options)
}

async function planPartition(
  disk: BlockSource,
  table: PartitionTable,
  number: number,
  place: RestorePlace,
  options: DiskRestoreOptions,
): Promise<DiskRestorePlan> {
  if (options.grow !== undefined || options.newIdentity === true || options.sizeBytes !== undefined)
    throw invalid('A partition has no table of its own, so there is nothing to grow, to rename or to resize.')
  const partition = findPartition(table, number)
  const { offset, length } = partition
  assertCapacity(place, length)
  const notes: string[] = []
  if (place.logicalSectorBytes !== undefined && place.logicalSectorBytes !== table.sectorBytes)
    notes.push(
      `The disk counted in sectors of ${table.sectorBytes} bytes, the target has ${place.logicalSectorBytes}: its filesystem may refuse that.`,
    )
  if ((place.capacityBytes ?? 0) > length)
    notes.push(
      `The target is larger than the partition: ${await toolFor(disk, partition, options)} grows it.`,
    )
  const head = await readHead(disk, offset, Math.min(HEAD_BYTES, length), options)
  return {
    ...base(options, { offset, length }, length),
    except: [{ offset, length: head.length }],
    clear: [{ offset: 0, length: head.length }],
    finally: headWrites(head, table.sectorBytes),
    table,
    newTable: undefined,
    partition,
    notes,
  }
}

async function planWholeDisk(
  disk: BlockSource,
  table: PartitionTable,
  place: RestorePlace,
  options: DiskRestoreOptions,
): Promise<DiskRestorePlan> {
  const imageBytes = table.sizeBytes
  const sizeBytes = options.sizeBytes ?? place.capacityBytes ?? imageBytes
  assertCapacity(place, sizeBytes)
  const notes: string[] = []
  const rewritten = rewrite(table, sizeBytes, place, options, notes)
  const range = { offset: 0, length: Math.min(imageBytes, sizeBytes) }
  const copies = table.isTrustworthy ? tableCopies(table) : { headEnd: 0, tail: [] }
  const headEnd = Math.max(HEAD_BYTES, copies.headEnd)
  // With larger sectors the first copy may reach further than it did.
  const writesOfHead = (rewritten?.writes ?? []).filter(({ offset }) => offset < headEnd)
  const reach = writesOfHead.reduce(
    (most, { offset, bytes }) => Math.max(most, offset + bytes.length),
    headEnd,
  )
  const headBytes = Math.min(roundUp(reach, 4096), range.length)
  const head = await readHead(disk, 0, headBytes, options)
  const outside: DiskWrite[] = []
  if (rewritten === undefined) {
    for (const { offset, length } of copies.tail)
      outside.push({ offset, bytes: await readRange(disk, offset, length, options) })
  } else {
    for (const write of rewritten.writes) {
      if (write.offset + write.bytes.length <= headBytes) head.set(write.bytes, write.offset)
      else outside.push(write)
    }
    const lostFrom = outside.reduce((least, { offset }) => Math.min(least, offset), sizeBytes)
    if (sizeBytes < imageBytes) await assertNothingLost(disk, lostFrom, copies.tail, sizeBytes, options)
    notes.push(...(await changeNotes(disk, table, rewritten.table, sizeBytes, options)))
  }
  const withheld = [
    { offset: 0, length: headBytes },
    ...copies.tail.flatMap((one) => overlapOf(one, range) ?? []),
  ]
  const except = mergedRanges(withheld)
  // A larger disk may have the backup of an older table at its end.
  const stale = Math.max(imageBytes, sizeBytes - HEAD_BYTES)
  const behind = sizeBytes > imageBytes ? [{ offset: stale, length: sizeBytes - stale }] : []
  return {
    ...base(options, range, sizeBytes),
    except,
    clear: mergedRanges([...except, ...behind]),
    finally: [...outside, ...headWrites(head, rewritten?.table.sectorBytes ?? table.sectorBytes)],
    table,
    newTable: rewritten?.table,
    partition: undefined,
    notes,
  }
}

/** The table for another disk, or undefined when it stays as it is, bit for bit. */
function rewrite(
  table: PartitionTable,
  sizeBytes: number,
  place: RestorePlace,
  options: DiskRestoreOptions,
  notes: string[],
): ReturnType<typeof rewritePartitionTable> | undefined {
  const { grow, newIdentity = false, random } = options
  const sectorBytes = place.logicalSectorBytes ?? table.sectorBytes
  const hasTable = table.kind !== 'none' && table.kind !== 'unusable'
  const isAsked = grow !== undefined || newIdentity
  const isOtherSector = hasTable && sectorBytes !== table.sectorBytes
  if (sizeBytes === table.sizeBytes && !isAsked && !isOtherSector) return undefined
  if (hasTable && (table.isTrustworthy || isAsked || isOtherSector)) {
    if (isOtherSector)
      notes.push(
        `The partition table is rewritten for sectors of ${sectorBytes} instead of ${table.sectorBytes} bytes; filesystems and boot loaders may not stand that.`,
      )
    return rewritePartitionTable(table, {
      sizeBytes,
      sectorBytes,
      newIdentity,
      ...(grow === undefined ? {} : { grow }),
      ...(random === undefined ? {} : { random }),
    })
  }
  if (isAsked) throw invalid('The image has no partition table that could be changed.')
  if (sizeBytes < table.sizeBytes)
    throw tooSmall(table.sizeBytes, sizeBytes, 'it has no partition table that could be cut')
  if (hasTable || table.kind === 'unusable')
    notes.push(
      'The partition table cannot be relied upon; it is left as it was, although the target is larger.',
    )
  return undefined
}

async function changeNotes(
  disk: BlockSource,
  before: PartitionTable,
  after: PartitionTable,
  sizeBytes: number,
  options: DiskRestoreOptions,
): Promise<string[]> {
  const notes: string[] = []
  const isGpt = before.kind === 'gpt' || before.kind === 'hybrid'
  if (isGpt && sizeBytes !== before.sizeBytes)
    notes.push('The backup of the partition table goes to the end of the target.')
  if (options.newIdentity === true)
    notes.push(
      'Disk and partitions get new ids; boot loaders and fstab files that name the old ones need changing.',
    )
  const { grow } = options
  if (grow === undefined) return notes
  const was = findPartition(before, grow)
  const { length } = findPartition(after, grow)
  if (length === was.length) notes.push(`Partition ${grow} stays as it is: there is no free space behind it.`)
  else
    notes.push(
      `Partition ${grow} grows from ${was.length} to ${length} bytes; ${await toolFor(disk, was, options)} grows its filesystem.`,
    )
  return notes
}

async function toolFor(
  disk: BlockSource,
  { offset, length }: Partition,
  { signal }: DiskRestoreOptions,
): Promise<string> {
  const volume = volumeOf(disk, { offset, sizeBytes: length })
  const { filesystem } = await probeFilesystem(volume, signal === undefined ? {} : { signal })
  return growingTool(filesystem?.type)
}

/** Where the copies of a table stand: how far the first reaches, and the ranges of the others. */
function tableCopies(table: PartitionTable): { headEnd: number; tail: ByteRange[] } {
  const first = table.partitions.reduce((low, { offset }) => Math.min(low, offset), table.sizeBytes / 2)
  const copies = table.areas.filter(
    ({ kind }) => kind === 'mbr' || kind === 'gpt-header' || kind === 'gpt-entries',
  )
  const inHead = copies.filter(({ offset }) => offset < first)
  return {
    headEnd: inHead.reduce((most, area) => Math.max(most, endOf(area)), 0),
    tail: mergedRanges(copies.filter((area) => !inHead.includes(area))),
  }
}

/** @throws ERR_TARGET_TOO_SMALL when there is data behind `from` that is neither partition nor table. */
async function assertNothingLost(
  disk: BlockSource,
  from: number,
  copies: readonly ByteRange[],
  sizeBytes: number,
  { signal }: DiskRestoreOptions,
): Promise<void> {
  const imageBytes = disk.info.sizeBytes!
  const end = { offset: from, length: Math.max(0, imageBytes - from) }
  const memory = new Uint8Array(SCAN_BYTES)
  for await (const extent of disk.extents(signal ? { signal } : {})) {
    const piece = extent.kind === 'data' ? overlapOf(extent, end) : undefined
    if (piece === undefined) continue
    for (const { offset, length } of without(piece, copies)) {
      for (let at = offset; at < offset + length; at += SCAN_BYTES) {
        const into = memory.subarray(0, Math.min(SCAN_BYTES, offset + length - at))
        await readFully(disk, at, into, signal)
        const found = into.findIndex((byte) => byte !== 0)
        if (found >= 0)
          throw tooSmall(
            imageBytes,
            sizeBytes,
            `there is data in no partition at byte ${at + found}, which would be lost`,
          )
      }
    }
  }
}

/**
 * What makes the target a disk, in the order in which it is written: first everything behind the first two sectors, then
 * the header of a GPT, and at the very end the first sector, without which nothing boots or is recognised.
 */
function headWrites(head: Uint8Array, sectorBytes: number): DiskWrite[] {
  const cuts = [2 * sectorBytes, sectorBytes, 0].map((at) => Math.min(at, head.length))
  let end = head.length
  const writes: DiskWrite[] = []
  for (const offset of cuts) {
    if (offset < end) writes.push({ offset, bytes: head.slice(offset, end) })
    end = offset
  }
  return writes
}

function base(
  options: DiskRestoreOptions,
  range: ByteRange,
  sizeBytes: number,
): Pick<DiskRestorePlan, 'range' | 'sizeBytes' | 'mark'> {
  const of = JSON.stringify([options.label ?? '', range, sizeBytes])
  return { range, sizeBytes, mark: createHash('sha256').update(of).digest('hex') }
}

async function readHead(
  disk: BlockSource,
  offset: number,
  length: number,
  options: DiskRestoreOptions,
): Promise<Uint8Array> {
  return await readRange(disk, offset, length, options)
}

async function readRange(
  disk: BlockSource,
  offset: number,
  length: number,
  { signal }: DiskRestoreOptions,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  await readFully(disk, offset, bytes, signal)
  return bytes
}

function findPartition(table: PartitionTable, number: number): Partition {
  const why = table.problems.find(({ severity }) => severity === 'error')
  if (!table.isTrustworthy)
    throw new PlatterError(
      'ERR_PARTITION_TABLE',
      `The partition table cannot be relied upon. ${why?.message ?? ''}`,
    )
  const found = table.partitions.find((partition) => partition.number === number)
  if (found === undefined) {
    const numbers = table.partitions.map((partition) => partition.number).join(', ')
    throw invalid(
      `There is no partition ${number}; ${numbers === '' ? 'there are none' : `there are ${numbers}`}.`,
    )
  }
  if (found.kind === 'extended') throw invalid(`Partition ${number} only contains others; name one of those.`)
  return found
}

function assertCapacity({ label, capacityBytes }: RestorePlace, neededBytes: number): void {
  if (capacityBytes === undefined || neededBytes <= capacityBytes) return
  throw new PlatterError(
    'ERR_TARGET_TOO_SMALL',
    `The target ${label} holds ${capacityBytes} bytes, and ${neededBytes} are needed; nothing was written.`,
    { expected: neededBytes, actual: capacityBytes },
  )
}

function tooSmall(expected: number, actual: number, why: string): PlatterError {
  return new PlatterError(
    'ERR_TARGET_TOO_SMALL',
    `The image of ${expected} bytes does not fit on ${actual}: ${why}. Nothing was written.`,
    { expected, actual },
  )
}

function invalid(message: string): PlatterError {
  return new PlatterError('ERR_INVALID_ARGUMENT', message)
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step
}
