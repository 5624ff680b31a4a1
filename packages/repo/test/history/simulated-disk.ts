import { createHash } from 'node:crypto'
import { HASH_BYTES } from '@platter/core'

/** A disk whose chunks are ids alone, and what a day does to it. */
export interface DiskShape {
  readonly regions: number
  readonly chunksPerRegion: number
  /** Share of the regions that a day touches, some more often than others. */
  readonly touchedRegions: number
  /** Share of the chunks of such a region that it replaces, one behind the other. */
  readonly touchedChunks: number
  /** The same seed gives the same disk on every day. */
  readonly seed: string
}

/** A disk that changes from day to day. On day 0 all of it is new. */
export class SimulatedDisk {
  readonly shape: DiskShape
  /** Ids of the chunks of each region, one behind the other, as they are today. */
  readonly regions: readonly Uint8Array[]
  #day = 0

  constructor(shape: DiskShape) {
    this.shape = shape
    const { regions, chunksPerRegion, seed } = shape
    const ids = drawn(`${seed} ids`, regions * chunksPerRegion * HASH_BYTES)
    const regionBytes = chunksPerRegion * HASH_BYTES
    this.regions = Array.from({ length: regions }, (_, i) =>
      ids.subarray(i * regionBytes, (i + 1) * regionBytes),
    )
  }

  /** Lets a day pass. Gives the numbers of the regions that changed, ascending, and copies of the new ids. */
  nextDay(): { readonly changed: readonly number[]; readonly newIds: readonly Uint8Array[] } {
    const { regions, chunksPerRegion, touchedRegions, touchedChunks, seed } = this.shape
    const day = `${seed} day ${++this.#day}`
    const replaced = Math.ceil(chunksPerRegion * touchedChunks)
    const picks = new Uint32Array(drawn(`${day} picks`, 8 * Math.ceil(regions * touchedRegions)).buffer)
    const changed = new Set<number>()
    // The square makes some regions change often and others hardly ever, as on real disks.
    for (let i = 0; i < picks.length; i += 2) changed.add(Math.floor((picks[i]! / 2 ** 32) ** 2 * regions))
    const ids = drawn(`${day} ids`, changed.size * replaced * HASH_BYTES)
    const newIds: Uint8Array[] = []
    const ascending = [...changed].sort((a, b) => a - b)
    ascending.forEach((region, n) => {
      const first = picks[2 * n + 1]! % (chunksPerRegion - replaced + 1)
      for (let i = 0; i < replaced; i++) {
        const from = (n * replaced + i) * HASH_BYTES
        const id = ids.slice(from, from + HASH_BYTES)
        this.regions[region]!.set(id, (first + i) * HASH_BYTES)
        newIds.push(id)
      }
    })
    return { changed: ascending, newIds }
  }
}

/** Bytes that look random, the same for the same seed. */
export function drawn(seed: string, lengthBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('shake256', { outputLength: lengthBytes }).update(seed).digest())
}
