import { ensure, SurveyError } from '../common/survey-error.ts'
import { FIRST_CLUSTER } from './boot-sector.ts'

/**
 * Which clusters are allocated, and which something leads to: the cluster before, or an entry of a directory. In a
 * filesystem that is in order one thing at most leads to a cluster, so that walks from the root never go in circles.
 */
export class ClusterUse {
  /** A bitmap in which the first cluster is bit 0. */
  readonly allocated: Uint8Array
  readonly #referred: Uint8Array
  readonly #clusterCount: number
  /** Marks of bad clusters, and from there on of ends of chains. */
  readonly #firstMark: number

  constructor(clusterCount: number, mask: number) {
    this.#clusterCount = clusterCount
    this.#firstMark = mask - 8
    this.allocated = new Uint8Array(Math.ceil(clusterCount / 8))
    this.#referred = new Uint8Array(this.allocated.length)
  }

  /** Takes over what the allocation table has for a cluster. */
  take(cluster: number, value: number): void {
    if (value === 0) return
    const bit = cluster - FIRST_CLUSTER
    this.allocated[bit >>> 3]! |= 1 << (bit & 7)
    if (value < this.#firstMark) this.refer(value)
  }

  /** Notes that something leads to a cluster. */
  refer(cluster: number): void {
    const bit = cluster - FIRST_CLUSTER
    if (bit < 0 || bit >= this.#clusterCount) {
      throw new SurveyError('out-of-range', `something leads to cluster ${cluster} of ${this.#clusterCount}`)
    }
    if ((this.#referred[bit >>> 3]! >>> (bit & 7)) & 1) {
      throw new SurveyError('inconsistent', `two things lead to cluster ${cluster}`)
    }
    this.#referred[bit >>> 3]! |= 1 << (bit & 7)
  }

  /** @throws SurveyError when something leads to a free cluster. */
  assertAllocated(): void {
    const lost = this.#referred.findIndex((bits, i) => (bits & ~this.allocated[i]!) !== 0)
    ensure(lost < 0, 'inconsistent', `something leads to a free cluster behind cluster ${lost * 8}`)
  }
}
