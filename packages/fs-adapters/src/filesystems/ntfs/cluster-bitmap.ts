import { forEachRun } from '../common/bitmap-runs.ts'
import type { ClaimedBlocks } from '../common/claimed-blocks.ts'
import { type FreeBlocks, FreeBlocksBuilder } from '../common/free-blocks.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'
import { PIECE_BYTES } from '../common/volume-reader.ts'
import { ATTRIBUTE } from './file-record.ts'
import { assertPlain, type MasterFileTable, SYSTEM_FILE } from './master-file-table.ts'

/**
 * The clusters that the bitmap has as free. Source: "$Bitmap" of the documentation of Linux-NTFS.
 *
 * @throws SurveyError when a file has one of them, or what is behind the last cluster is not marked.
 */
export async function readClusterBitmap(table: MasterFileTable, claimed: ClaimedBlocks): Promise<FreeBlocks> {
  const { clusterCount } = table.geometry
  const content = await table.content(await table.record(SYSTEM_FILE.bitmap), ATTRIBUTE.data)
  if (content === undefined) throw new SurveyError('inconsistent', 'it has no bitmap of clusters')
  assertPlain(content, 'the bitmap of clusters')
  const { initialised, data } = content.sizes
  const isLongEnough = initialised === data && data * 8 >= clusterCount
  ensure(isLongEnough, 'inconsistent', 'the bitmap of clusters is too short')
  const free = new FreeBlocksBuilder(clusterCount)
  for (let done = 0; done < data; done += PIECE_BYTES) {
    const piece = await content.runs.read(table.reader, done, Math.min(PIECE_BYTES, data - done))
    const first = done * 8
    claimed.assertAllocated(piece, first)
    const bits = Math.max(0, Math.min(piece.length * 8, clusterCount - first))
    forEachRun(piece, bits, (start, count, isAllocated) => {
      if (!isAllocated) free.addFree(first + start, count)
    })
    assertMarkedBehind(piece, bits)
  }
  return free.finish()
}

/** Bits behind the last cluster are set, so that nobody allocates them. */
function assertMarkedBehind(piece: Uint8Array, bits: number): void {
  for (let i = bits; i < piece.length * 8; i++) {
    const isMarked = ((piece[i >>> 3]! >>> (i & 7)) & 1) === 1
    ensure(isMarked, 'inconsistent', 'the bitmap has clusters behind the last one')
  }
}
