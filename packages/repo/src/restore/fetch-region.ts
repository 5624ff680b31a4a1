import { CODEC, type ReadableStore } from '@platter/core'
import { mapConcurrently } from '../concurrency/map-concurrently.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { packName } from '../format/object-names.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import type { BlobLocation, ChunkIndex } from '../index/chunk-index.ts'
import { type BlobReader, isMissing, missingBlob } from '../pack/blob-reader.ts'
import { readPackRange } from '../pack/read-pack-range.ts'
import { idAt } from '../tree/volume-tree.ts'
import type { FetchedBlob, RunAction } from './restore-protocol.ts'

/** Blobs closer together than this are fetched in one read. */
const MAX_GAP_BYTES = 128 * 1024
/** Longest single read. */
const MAX_READ_BYTES = 16 * 1024 * 1024
const CONCURRENCY = 4

/** What a region's restore needs, before anything is read. */
export interface RegionPlan {
  /** The index in which the blobs' places stand. */
  readonly index: ChunkIndex
  readonly runs: readonly RunAction[]
  readonly blobs: readonly { readonly id: Uint8Array; readonly place: BlobLocation }[]
  /** Stored bytes of the blobs. */
  readonly storedBytes: number
}

/**
 * Looks up every chunk of a leaf, each once.
 *
 * @param same 1 for each run that the target holds already.
 * @throws ERR_CHUNK_MISSING
 */
export function planRegion(leaf: TreeNode, index: ChunkIndex, same?: Uint8Array): RegionPlan {
  const runs: RunAction[] = []
  const blobs: { id: Uint8Array; place: BlobLocation }[] = []
  const blobOfEntry = new Map<number, number>()
  let stored = 0
  let storedBytes = 0
  for (let i = 0; i < leaf.kinds.length; i++) {
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

/** The blobs of a plan, read from the store in as few reads as make sense, and the buffers they lie in. */
export async function fetchBlobs(
  plan: RegionPlan,
  reader: BlobReader,
  store: ReadableStore,
  signal: AbortSignal,
): Promise<{ blobs: FetchedBlob[]; buffers: ArrayBuffer[] }> {
  const { index } = plan
  const blobs = new Array<FetchedBlob>(plan.blobs.length)
  const buffers: ArrayBuffer[] = []
  const read = async (part: Read): Promise<void> => {
    const name = packName(index.packs[part.pack]!.id)
    let bytes: Uint8Array<ArrayBuffer>
    try {
      bytes = await readPackRange(store, name, part.offset, part.length, { signal })
    } catch (error) {
      if (!isMissing(error)) throw error
      for (const i of part.blobs) blobs[i] = await readElsewhere(plan.blobs[i]!, name)
      return
    }
    buffers.push(bytes.buffer)
    for (const i of part.blobs) {
      const { id, place } = plan.blobs[i]!
      const from = place.offset - part.offset
      const stored = bytes.subarray(from, from + place.storedBytes)
      blobs[i] = {
        id,
        codec: place.codec,
        rawBytes: place.rawBytes,
        stored,
        pack: name,
        offset: place.offset,
      }
    }
  }
  /** The pack is gone: a prune has moved what was needed of it. */
  const readElsewhere = async (
    { id, place }: RegionPlan['blobs'][number],
    pack: string,
  ): Promise<FetchedBlob> => {
    // A copy: it is handed to another thread, and what was read may lie in memory of the codec.
    const stored = new Uint8Array(await reader.read(id, BLOB_TYPE.chunk, signal))
    buffers.push(stored.buffer)
    return { id, codec: CODEC.none, rawBytes: stored.length, stored, pack, offset: place.offset }
  }
  for await (const _ of mapConcurrently(coalesce(plan), CONCURRENCY, read));
  return { blobs, buffers }
}

interface Read {
  readonly pack: number
  readonly offset: number
  length: number
  readonly blobs: number[]
}

function coalesce(plan: RegionPlan): Read[] {
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
