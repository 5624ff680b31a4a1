import type { ByteRange } from '../api/snapshot-types.ts'
import type { RunKind } from '../format/tree-node.ts'

/** A stretch of a region: to be read, or known to need no reading. */
export interface RegionRange {
  /** Offset in the image, a multiple of 4096. */
  readonly offset: number
  /** A multiple of 4096, except at the end of the image. */
  readonly length: number
  /** `stored` must be read; the others are recorded as they are. */
  readonly kind: RunKind
}

/** One region of an image, to be encoded by one worker from end to end. */
export interface RegionTask {
  /** Number of the region in the image. */
  readonly region: number
  readonly offset: number
  readonly length: number
  /** Ascending ranges that cover the region. */
  readonly ranges: readonly RegionRange[]
}

/** What became of a region. */
export interface RegionResult {
  readonly region: number
  /** Length of the region; less than the task's where a stream ended. */
  readonly length: number
  /** Set when the whole region is a hole or unused: it needs no node. */
  readonly blank: RunKind | undefined
  /** Id of the region's leaf; undefined when blank. */
  readonly nodeId: Uint8Array | undefined
  /** The leaf's encoding, when the repository does not have it. */
  readonly newNode: Uint8Array | undefined
  /** Keyed BLAKE3 over the region's block digests; undefined when every byte restores as zero. */
  readonly digest: Uint8Array | undefined
  readonly badRanges: readonly ByteRange[]
  readonly counts: RegionCounts
}

/** What was counted in a region. Bytes of plaintext. */
export interface RegionCounts {
  readonly bytesRead: number
  readonly bytesHole: number
  readonly bytesUnused: number
  readonly bytesNew: number
  readonly bytesKnown: number
  readonly chunksNew: number
  readonly chunksKnown: number
}
