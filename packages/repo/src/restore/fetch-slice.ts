import { PlatterError, type ReadableStore } from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { packName } from '../format/object-names.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import type { BlobLocation, ChunkIndex } from '../index/chunk-index.ts'
import { missingBlob } from '../pack/blob-reader.ts'
import type { FetchedBlob } from '../pack/fetched-blob.ts'
import { readPackRange } from '../pack/read-pack-range.ts'
import { idAt } from '../tree/volume-tree.ts'
import type { RunAction } from './restore-protocol.ts'
import type { RegionSlice } from './slice-region.ts'

/** Blobs closer together than this are fetched in one read. */
const MAX_GAP_BYTES = 128 * 1024
/** Longest single read. */
const MAX_READ_BYTES = 16 * 1024 * 1024
const CONCURRENCY = 4

/** What a slice's restore needs, before anything is read. */
export interface SlicePlan {
  /** The index in which the blobs' places stand. */
  readonly index: ChunkIndex
  readonly runs: readonly RunAction[]
  readonly blobs: readonly { readonly id: Uint8Array; readonly place: BlobLocation }[]
  /** Stored bytes of the blobs. */
  readonly storedBytes: number
}

/**
 * Looks up every chunk of a slice, each once.
 *
 * @param same 1 for each run of the leaf that the target holds already.
 * @throws ERR_CHUNK_MISSING
 */
export function planSlice(
  leaf: TreeNode,
  slice: RegionSlice,
  index: ChunkIndex,
  same?: Uint8Array,
): SlicePlan {
  const runs: RunAction[] = []
  const blobs: { id: Uint8Array; place: BlobLocation }[] = []
  const blobOfEntry = new Map<number, number>()
  let stored = slice.firstStored
  let storedBytes = 0
  for (let i = slice.firstRun; i < slice.endRun; i++) {
    const length = leaf.spans[i]!
    const isStored = leaf.kinds[i] === RUN.stored
    const id = isStored ? idAt(leaf.ids, stored++) : undefined
    if (same?.[i] === 1) {
      runs.push({ type: 'keep', length })
    } else if (id === undefined) {
      runs.push({ type: 'zero', length })
    } else {
      const entry = index.find(id)
      if (entry < 0) throw missingBlob(id, BLOB_TYPE.chunk)
      let blob = blobOfEntry.get(entry)
      if (blob === undefined) {
        const place = index.location(entry)
        blob = blobs.push({ id, place }) - 1
        blobOfEntry.set(entry, blob)
        storedBytes += place.storedBytes
      }
      runs.push({ type: 'write', blob, length })
    }
  }
  return { index, runs, blobs, storedBytes }
}

/**
 * The blobs of a plan, read from the store in as few reads as make sense, and the buffers they lie in. A blob whose
 * pack cannot be read comes without its bytes: another pack may hold it too.
 */
export async function fetchBlobs(
  plan: SlicePlan,
  store: ReadableStore,
  signal: AbortSignal,
): Promise<{ blobs: FetchedBlob[]; buffers: ArrayBuffer[] }> {
  const { index } = plan
  const blobs = new Array<FetchedBlob>(plan.blobs.length)
  const buffers: ArrayBuffer[] = []
  const reads = coalesce(plan)
  const read = async (part: Read): Promise<{ part: Read; bytes: Uint8Array<ArrayBuffer> | undefined }> => {
    const name = packName(index.packs[part.pack]!.id)
    try {
      return { part, bytes: await readPackRange(store, name, part.offset, part.length, { signal }) }
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof PlatterError)) throw error
      return { part, bytes: undefined }
    }
  }
  for await (const { part, bytes } of mapConcurrently(reads, CONCURRENCY, read)) {
    if (bytes !== undefined) buffers.push(bytes.buffer)
    for (const i of part.blobs) {
      const { id, place } = plan.blobs[i]!
      const from = place.offset - part.offset
      blobs[i] = {
        id,
        type: place.type,
        codec: place.codec,
        offset: place.offset,
        storedBytes: place.storedBytes,
        rawBytes: place.rawBytes,
        sealed: bytes?.subarray(from, from + place.storedBytes),
        packSalt: index.packs[place.pack]!.salt,
      }
    }
  }
  return { blobs, buffers }
}

interface Read {
  readonly pack: number
  readonly offset: number
  length: number
  readonly blobs: number[]
}

function coalesce(plan: SlicePlan): Read[] {
  const order = plan.blobs.map((_, i) => i)
  const place = (i: number): BlobLocation => plan.blobs[i]!.place
  order.sort((a, b) => place(a).pack - place(b).pack || place(a).offset - place(b).offset)
  const reads: Read[] = []
  for (const i of order) {
    const { pack, offset, storedBytes } = place(i)
    const last = reads.at(-1)
    const end = last === undefined ? 0 : last.offset + last.length
    const length = last === undefined ? 0 : offset + storedBytes - last.offset
    if (
      last !== undefined &&
      last.pack === pack &&
      offset - end <= MAX_GAP_BYTES &&
      length <= MAX_READ_BYTES
    ) {
      last.length = Math.max(last.length, length)
      last.blobs.push(i)
    } else {
      reads.push({ pack, offset, length: storedBytes, blobs: [i] })
    }
  }
  return reads
}
