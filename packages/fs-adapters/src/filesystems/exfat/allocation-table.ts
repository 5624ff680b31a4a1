import type { ClaimedBlocks } from '../common/claimed-blocks.ts'
import type { Fields } from '../common/fields.ts'
import { ensure } from '../common/survey-error.ts'
import type { VolumeReader } from '../common/volume-reader.ts'
import { type ExfatGeometry, FIRST_CLUSTER } from './boot-region.ts'

const END = 0xffffffff
const PAGE_ENTRIES = 4096

/** Clusters of a file or directory: those from `first` on, or a chain that begins with it. */
export interface Allocation {
  readonly first: number
  /** Undefined when only the end of the chain says it. */
  readonly count: number | undefined
  readonly isContiguous: boolean
}

/**
 * The allocation table: for each cluster of a chain the next one. Clusters that are not part of a chain may have
 * anything there. Source: "File Allocation Table Region" of the specification.
 */
export class AllocationTable {
  readonly #reader: VolumeReader
  readonly #geometry: ExfatGeometry
  readonly #claimed: ClaimedBlocks
  #page: Fields | undefined
  #pageStart = 0

  /** What is walked through is claimed in `claimed`, in which the first cluster is block 0. */
  constructor(reader: VolumeReader, geometry: ExfatGeometry, claimed: ClaimedBlocks) {
    this.#reader = reader
    this.#geometry = geometry
    this.#claimed = claimed
  }

  /** @throws SurveyError when the table does not begin as it must. */
  async assertReserved(): Promise<void> {
    const isRight = (await this.#entry(0)) === 0xfffffff8 && (await this.#entry(1)) === END
    ensure(isRight, 'inconsistent', 'the allocation table does not begin as it must')
  }

  /**
   * Claims all clusters of an allocation.
   *
   * @throws SurveyError when a cluster is out of range or something else's, or the chain is shorter or longer.
   */
  async claim({ first, count, isContiguous }: Allocation): Promise<void> {
    if (isContiguous && count !== undefined) {
      this.#claimed.claim(first - FIRST_CLUSTER, count)
      return
    }
    let length = 0
    for (let cluster: number | undefined = first; cluster !== undefined; length++) {
      this.#claimed.claim(cluster - FIRST_CLUSTER, 1)
      cluster = await this.#next(cluster)
    }
    ensure(
      count === undefined || length === count,
      'inconsistent',
      `a chain has ${length} clusters, not ${count}`,
    )
  }

  /** The clusters of an allocation that was claimed, one after the other. */
  async *clusters({ first, count, isContiguous }: Allocation): AsyncGenerator<number> {
    if (isContiguous && count !== undefined) {
      for (let i = 0; i < count; i++) yield first + i
      return
    }
    for (let cluster: number | undefined = first; cluster !== undefined; ) {
      yield cluster
      cluster = await this.#next(cluster)
    }
  }

  async #next(cluster: number): Promise<number | undefined> {
    const entry = await this.#entry(cluster)
    return entry === END ? undefined : entry
  }

  async #entry(cluster: number): Promise<number> {
    const isThere =
      this.#page !== undefined &&
      cluster >= this.#pageStart &&
      (cluster - this.#pageStart) * 4 < this.#page.length
    if (!isThere) {
      const { tableStart, clusterCount } = this.#geometry
      this.#pageStart = cluster - (cluster % PAGE_ENTRIES)
      const count = Math.min(PAGE_ENTRIES, clusterCount + FIRST_CLUSTER - this.#pageStart)
      this.#page = await this.#reader.fields(tableStart + this.#pageStart * 4, count * 4)
    }
    return this.#page!.u32((cluster - this.#pageStart) * 4)
  }
}
