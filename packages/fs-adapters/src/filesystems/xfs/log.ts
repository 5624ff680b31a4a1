import { Fields } from '../common/fields.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import { assertXfsUuid } from './checksum.ts'
import type { XfsSuperblock } from './superblock.ts'

/** Unit of the log, whatever the sectors. Each begins with the number of the round in which it was written. */
const BASIC_BLOCK = 512
const RECORD_MAGIC = 0xfeedbabe
/** Up to eight buffers of 256 KiB are on their way at once, and may be written in any order. */
const WINDOW_BLOCKS = (8 * 2 ** 18) / BASIC_BLOCK
const MAX_BUFFER_BYTES = 2 ** 18
/** The head of a record has room for the displaced words of this many bytes; larger buffers have several. */
const BYTES_PER_HEADER_BLOCK = 32 * 1024

const OPERATION_BYTES = 12
const LOG_CLIENT = 0xaa
const UNMOUNT_FLAG = 0x20
const UNMOUNT_MAGIC = 0x556e

/**
 * Makes sure that nothing is left to be replayed: that the last record of the log says that the filesystem was
 * unmounted. Sources: "XFS Algorithms & Data Structures", "Journaling Log"; for where the log ends, `xlog_find_head`
 * and `xlog_check_unmount_rec` in the kernel's fs/xfs/xfs_log_recover.c.
 *
 * @throws SurveyError `not-clean`, and others
 */
export async function assertCleanLog(reader: VolumeReader, superblock: XfsSuperblock): Promise<void> {
  const log = new LogBlocks(reader, superblock)
  const head = await findHead(log)
  const [start, record] = await lastRecordBefore(log, head)
  const round = await log.roundOf(start)
  assertXfsUuid(record, 304, superblock.uuid, 'the last record of the log')
  const version = record.u32(8)
  const isKnown = version === 1 || (version === 2 && superblock.hasLogVersion2)
  ensure(isKnown, 'unknown-feature', `the last record of the log has the unknown version ${version}`)
  ensure(
    record.u32(4) === round && record.u32(16) === round && record.u32(20) === start,
    'inconsistent',
    'the last record of the log is not in its place',
  )
  const bufferBytes = version === 2 ? record.u32(320) : 0
  ensure(bufferBytes <= MAX_BUFFER_BYTES, 'inconsistent', 'the last record of the log is too large')
  const headerBlocks = Math.max(1, Math.ceil(bufferBytes / BYTES_PER_HEADER_BLOCK))
  const end = start + headerBlocks + Math.ceil(record.u32(12) / BASIC_BLOCK)
  const isUnmount =
    end % log.count === head % log.count &&
    record.u32(40) === 1 &&
    saysUnmount(record, await log.read((start + headerBlocks) % log.count))
  ensure(isUnmount, 'not-clean', 'its log is to be replayed: it is mounted or was not unmounted')
}

/** Whether the one operation of a record is to say that it was unmounted. */
function saysUnmount(record: Fields, data: Fields): boolean {
  const tag = data.u16(OPERATION_BYTES)
  return (
    record.u32(12) >= OPERATION_BYTES + 8 &&
    // Newer kernels do not count what follows.
    (data.u32(4) === 8 || data.u32(4) === 0) &&
    data.u8(8) === LOG_CLIENT &&
    (data.u8(9) & UNMOUNT_FLAG) !== 0 &&
    // This is in the order of bytes of the machine that wrote it.
    (tag === UNMOUNT_MAGIC || tag === ((UNMOUNT_MAGIC & 0xff) << 8) + (UNMOUNT_MAGIC >> 8))
  )
}

/**
 * The block behind the last one that was written. Blocks before it were written in this round, those from it on in the
 * one before, or in this one where it has just ended. Where buffers on their way were lost, that does not hold near it.
 */
async function findHead(log: LogBlocks): Promise<number> {
  const first = await log.roundOf(0)
  const last = await log.roundOf(log.count - 1)
  if (first === last) {
    await log.assertRound(0, log.count, first)
    return log.count
  }
  ensure(first === last + 1, 'not-clean', `its log begins with round ${first} and ends with round ${last}`)
  let [current, head] = [0, log.count - 1]
  while (head - current > 1) {
    const middle = Math.floor((current + head) / 2)
    const round = await log.roundOf(middle)
    ensure(
      round === first || round === last,
      'not-clean',
      `its log has round ${round} in rounds ${last} and ${first}`,
    )
    if (round === first) current = middle
    else head = middle
  }
  await log.assertRound(0, head, first)
  await log.assertRound(head, log.count, last)
  return head
}

async function lastRecordBefore(log: LogBlocks, head: number): Promise<[start: number, record: Fields]> {
  for (let back = 1; back <= Math.min(WINDOW_BLOCKS, log.count); back++) {
    const start = (head - back + log.count) % log.count
    const record = await log.read(start)
    if (record.u32(0) === RECORD_MAGIC) return [start, record]
  }
  throw new SurveyError('not-clean', 'its log has no record where it ends')
}

/** The log in blocks of 512 bytes. */
class LogBlocks {
  readonly count: number
  readonly #reader: VolumeReader
  readonly #startByte: number

  constructor(reader: VolumeReader, superblock: XfsSuperblock) {
    const { logStart, logBlocks, groupBits, groupBlocks, groupCount, blockCount, blockBytes } = superblock
    const group = Math.floor(logStart / 2 ** groupBits)
    const block = logStart % 2 ** groupBits
    const start = group * groupBlocks + block
    ensure(
      group < groupCount &&
        logBlocks > 0 &&
        block + logBlocks <= groupBlocks &&
        start + logBlocks <= blockCount,
      'out-of-range',
      `a log of ${logBlocks} blocks at block ${block} of group ${group} is out of range`,
    )
    this.#reader = reader
    this.#startByte = start * blockBytes
    this.count = (logBlocks * blockBytes) / BASIC_BLOCK
  }

  read(block: number): Promise<Fields> {
    return this.#reader.fields(this.#startByte + block * BASIC_BLOCK, BASIC_BLOCK, 'big')
  }

  async roundOf(block: number): Promise<number> {
    return roundIn(await this.read(block), 0)
  }

  /** Makes sure that what is near the ends of blocks `from` to `to` was written in the same round. */
  async assertRound(from: number, to: number, round: number): Promise<void> {
    if (to - from > 2 * WINDOW_BLOCKS) {
      await this.assertRound(from, from + WINDOW_BLOCKS, round)
      await this.assertRound(to - WINDOW_BLOCKS, to, round)
      return
    }
    const pieceBlocks = PIECE_BYTES / BASIC_BLOCK
    for (let start = from; start < to; start += pieceBlocks) {
      const length = Math.min(pieceBlocks, to - start) * BASIC_BLOCK
      const piece = new Fields(await this.#reader.bytes(this.#startByte + start * BASIC_BLOCK, length), 'big')
      for (let at = 0; at < length; at += BASIC_BLOCK) {
        ensure(roundIn(piece, at) === round, 'not-clean', 'its log was written in part: it was not unmounted')
      }
    }
  }
}

/** A record begins with its mark, and has the number of the round behind it. */
function roundIn(fields: Fields, at: number): number {
  const word = fields.u32(at)
  return word === RECORD_MAGIC ? fields.u32(at + 4) : word
}
