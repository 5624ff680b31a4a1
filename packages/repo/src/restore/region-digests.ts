import { createBlockScanner, createKernels, PlatterError } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOCK_BYTES } from '../format/limits.ts'
import { ImageDigest } from '../tree/image-digest.ts'
import { DIGEST_BYTES, RegionDigest } from '../tree/region-digest.ts'
import type { RunAction } from './restore-protocol.ts'

/** A region whose slices are under way. */
interface OpenRegion {
  readonly offset: number
  readonly length: number
  readonly blocks: RegionDigest
  /** Of the region, as its leaf says. */
  readonly expected: Uint8Array | undefined
  slicesLeft: number
}

/**
 * Puts the block digests of slices, which come in any order, together to the digests of regions and of the image.
 */
export class RegionDigests {
  readonly #keys: RepositoryKeys
  readonly #regionBytes: number
  readonly #zeroDigest: Uint8Array
  readonly #image: ImageDigest
  readonly #open = new Map<number, OpenRegion>()
  readonly #unused: RegionDigest[] = []
  /** What came before its turn; undefined stands for regions of zeros. */
  readonly #done = new Map<number, { readonly digest: Uint8Array | undefined; readonly regions: number }>()
  #next = 0

  constructor(regionBytes: number, keys: RepositoryKeys) {
    this.#keys = keys
    this.#regionBytes = regionBytes
    const kernels = createKernels({ slabBytes: BLOCK_BYTES })
    this.#zeroDigest = createBlockScanner({ key: keys.blockDigest, kernels }).zeroDigest
    this.#image = new ImageDigest(keys.imageDigest)
  }

  /**
   * Expects so many slices of a region of `length` bytes at image offset `offset`.
   *
   * @param expected digest of the region as its leaf says.
   */
  begin(
    region: number,
    offset: number,
    length: number,
    slices: number,
    expected: Uint8Array | undefined,
  ): void {
    const blocks =
      this.#unused.pop() ?? new RegionDigest(this.#regionBytes, this.#keys.imageDigest, this.#zeroDigest)
    this.#open.set(region, { offset, length, blocks, expected, slicesLeft: slices })
  }

  /**
   * Takes a slice.
   *
   * @param offset image offset of the slice.
   * @param digests of the blocks of the runs that were written, in order.
   * @throws ERR_DIGEST_MISMATCH when the region is whole, and not what its leaf says.
   */
  slice(region: number, offset: number, runs: readonly RunAction[], digests: Uint8Array): void {
    const open = this.#open.get(region)!
    let from = offset - open.offset
    let taken = 0
    for (const { type, length } of joined(runs)) {
      const end = from + length
      if (type === 'zero') {
        open.blocks.zeros(from, end)
      } else {
        const bytes = Math.ceil(length / BLOCK_BYTES) * DIGEST_BYTES
        open.blocks.set(from, digests.subarray(taken, taken + bytes))
        taken += bytes
      }
      from = end
    }
    if (--open.slicesLeft > 0) return
    this.#open.delete(region)
    this.#unused.push(open.blocks)
    const digest = open.blocks.finish(open.length)
    if (Buffer.compare(digest ?? NOTHING, open.expected ?? NOTHING) !== 0) throw mismatch(open)
    this.#take(region, digest, 1)
  }

  /** Takes regions of zeros. */
  zeroRegions(region: number, regions: number): void {
    this.#take(region, undefined, regions)
  }

  /** Hex of the image's digest, when all regions have come. */
  finish(sizeBytes: number): string {
    return this.#image.finish(sizeBytes)
  }

  #take(region: number, digest: Uint8Array | undefined, regions: number): void {
    this.#done.set(region, { digest, regions })
    for (let next = this.#done.get(this.#next); next !== undefined; next = this.#done.get(this.#next)) {
      if (next.digest === undefined) this.#image.zeroRegions(next.regions)
      else this.#image.region(next.digest)
      this.#done.delete(this.#next)
      this.#next += next.regions
    }
  }
}

/** Stands for the digest of zeros. */
const NOTHING = new Uint8Array(0)

function mismatch({ offset, length }: OpenRegion): PlatterError {
  return new PlatterError(
    'ERR_DIGEST_MISMATCH',
    `What was restored is not what was backed up: the digest of the ${length} bytes at ${offset} differs although every chunk was intact. Do not use the target; report this.`,
    { offset },
  )
}

/** Runs of one kind that follow each other as one: between chunks nothing need lie on block borders. */
function* joined(runs: readonly RunAction[]): Generator<{ type: 'write' | 'zero'; length: number }> {
  let last: { type: 'write' | 'zero'; length: number } | undefined
  for (const run of runs) {
    const type = run.type === 'write' ? 'write' : 'zero'
    if (last?.type === type) {
      last.length += run.length
    } else {
      if (last !== undefined) yield last
      last = { type, length: run.length }
    }
  }
  if (last !== undefined) yield last
}
