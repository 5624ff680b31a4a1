import type { CutList } from './cut-list.ts'
import { findGearCuts, type GearSearch } from './gear-hash.ts'
import type { Kernels } from './kernels.ts'
import { BLOCK_BYTES, DIGEST_BYTES, type NhKey, nhDigest } from './nh-digest.ts'

/** The loops in plain JavaScript, for runtimes without WebAssembly SIMD, and to check the other against. */
export class JsKernels implements Kernels {
  readonly implementation = 'js' as const
  readonly slab: Uint8Array
  readonly digests: Uint8Array
  readonly zeroFlags: Uint8Array
  readonly #slabView: DataView
  readonly #digestView: DataView

  constructor(slabBytes: number) {
    const blockCount = slabBytes / BLOCK_BYTES
    this.slab = new Uint8Array(slabBytes)
    this.digests = new Uint8Array(blockCount * DIGEST_BYTES)
    this.zeroFlags = new Uint8Array(blockCount)
    this.#slabView = new DataView(this.slab.buffer)
    this.#digestView = new DataView(this.digests.buffer)
  }

  scanBlocks(key: NhKey, offset: number, blockCount: number): void {
    for (let i = 0; i < blockCount; i++) {
      const blockOffset = offset + i * BLOCK_BYTES
      if (isZeroBlock(this.#slabView, blockOffset)) {
        this.digests.set(key.zeroDigest, i * DIGEST_BYTES)
        this.zeroFlags[i] = 1
      } else {
        nhDigest(key, this.#slabView, blockOffset, this.#digestView, i * DIGEST_BYTES)
        this.zeroFlags[i] = 0
      }
    }
  }

  findGearCuts(search: GearSearch, bytes: Uint8Array, base: number, cuts: CutList): void {
    findGearCuts(search, bytes, base, cuts)
  }
}

function isZeroBlock(data: DataView, offset: number): boolean {
  for (let at = offset; at < offset + BLOCK_BYTES; at += 4) {
    if (data.getUint32(at) !== 0) return false
  }
  return true
}
