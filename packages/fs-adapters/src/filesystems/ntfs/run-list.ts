import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import { PIECE_BYTES, type VolumeReader } from '../common/volume-reader.ts'
import type { AttributePlace } from './file-record.ts'

/** Clusters that follow each other on the volume, or that are not there at all and read as zeros. */
export interface ClusterRun {
  /** Undefined for a hole. */
  readonly start: number | undefined
  readonly count: number
}

/**
 * The runs that mapping pairs stand for. Source: "Data Runs" of the documentation of Linux-NTFS.
 *
 * @throws SurveyError unless they are as many clusters as the attribute says, and none lies before the first one.
 */
export function decodeRuns({ mappingPairs, clusters }: AttributePlace): ClusterRun[] {
  const runs: ClusterRun[] = []
  let total = 0
  let start = 0
  for (let at = 0; mappingPairs.u8(at) !== 0; ) {
    const header = mappingPairs.u8(at)
    const [countBytes, startBytes] = [header & 15, header >>> 4]
    const isPossible = countBytes >= 1 && countBytes <= 8 && startBytes <= 8
    ensure(isPossible, 'inconsistent', 'a run of clusters has an impossible header')
    const count = signed(mappingPairs, at + 1, countBytes)
    ensure(count > 0, 'inconsistent', `a run of ${count} clusters is not possible`)
    if (startBytes > 0) {
      start += signed(mappingPairs, at + 1 + countBytes, startBytes)
      ensure(start >= 0, 'inconsistent', `a run begins with cluster ${start}`)
    }
    runs.push({ start: startBytes > 0 ? start : undefined, count })
    total += count
    at += 1 + countBytes + startBytes
  }
  ensure(total === clusters, 'inconsistent', `runs of ${total} clusters, where ${clusters} are told`)
  return runs
}

/** A number of `length` bytes with a sign. */
function signed(fields: Fields, at: number, length: number): number {
  let value = fields.u8(at + length - 1)
  if (value >= 128) value -= 256
  for (let i = length - 2; i >= 0; i--) value = value * 256 + fields.u8(at + i)
  ensure(Number.isSafeInteger(value), 'out-of-range', 'a run of clusters is out of range')
  return value
}

/** The clusters of a value, in order. It may grow while it is read from. */
export class RunList {
  readonly #clusterBytes: number
  readonly #runs: ClusterRun[] = []
  /** For each run the first cluster of the value that it has. */
  readonly #firsts: number[] = []
  #clusters = 0

  constructor(clusterBytes: number) {
    this.#clusterBytes = clusterBytes
  }

  get runs(): readonly ClusterRun[] {
    return this.#runs
  }

  get clusters(): number {
    return this.#clusters
  }

  append(runs: Iterable<ClusterRun>): void {
    for (const run of runs) {
      this.#firsts.push(this.#clusters)
      this.#runs.push(run)
      this.#clusters += run.count
    }
  }

  /**
   * `length` bytes from `offset` of the value on, at most `PIECE_BYTES`. Holes are zeros.
   *
   * @throws SurveyError `out-of-range` when the value has no clusters there.
   */
  async read(reader: VolumeReader, offset: number, length: number): Promise<Uint8Array> {
    const end = offset + length
    ensure(
      length <= PIECE_BYTES && end <= this.#clusters * this.#clusterBytes,
      'out-of-range',
      'a file ends before its content does',
    )
    const bytes = new Uint8Array(length)
    let i = this.#indexOf(Math.floor(offset / this.#clusterBytes))
    for (let at = offset; at < end; i++) {
      const { start, count } = this.#runs[i]!
      const within = at - this.#firsts[i]! * this.#clusterBytes
      const piece = Math.min(end - at, count * this.#clusterBytes - within)
      if (start !== undefined) {
        bytes.set(await reader.bytes(start * this.#clusterBytes + within, piece), at - offset)
      }
      at += piece
    }
    return bytes
  }

  /** The run that has a cluster of the value. */
  #indexOf(cluster: number): number {
    let [low, high] = [0, this.#firsts.length - 1]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.#firsts[middle]! <= cluster) low = middle
      else high = middle - 1
    }
    return low
  }
}
