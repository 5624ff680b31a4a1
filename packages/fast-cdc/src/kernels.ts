import type { CutList } from './cut-list.ts'
import { assertInteger, InvalidArgumentError } from './errors.ts'
import type { GearSearch } from './gear-hash.ts'
import { JsKernels } from './js-kernels.ts'
import { BLOCK_BYTES, type NhKey } from './nh-digest.ts'
import { isWasmSimdSupported, WasmKernels } from './wasm-kernels.ts'

/**
 * The two hot loops, and the memory they run over. One object serves one scanner and any number of chunkers of the
 * same thread. Its memory is allocated once and never grows or moves, so views of it stay valid.
 */
export interface Kernels {
  readonly implementation: Implementation
  /** Memory of the caller's, to read data into: what lies here is scanned and searched without being copied. */
  readonly slab: Uint8Array
  /** Digests of the last scan, 16 bytes a block. */
  readonly digests: Uint8Array
  /** Of the last scan: 1 for a block of zeros, 0 for any other. */
  readonly zeroFlags: Uint8Array

  /** Fills `digests` and `zeroFlags` for blocks of the slab; the arguments are not checked. See `BlockScanner.scan`. */
  scanBlocks(key: NhKey, offset: number, blockCount: number): void

  /** Continues a FastCDC search over `bytes`, and appends each cut as `base` + bytes from the start of `bytes`. */
  findGearCuts(search: GearSearch, bytes: Uint8Array, base: number, cuts: CutList): void
}

/** What runs: WebAssembly with 128-bit vectors, or plain JavaScript. Both compute the same. */
export type Implementation = 'wasm-simd' | 'js'

/** What is asked for. `auto` takes WebAssembly where it can be had. */
export type ImplementationChoice = 'auto' | 'wasm' | 'js'

export interface KernelsOptions {
  /** Size of the slab: a multiple of 4096 from 0 to 1 GiB. */
  readonly slabBytes: number
  readonly implementation?: ImplementationChoice
}

/**
 * Allocates memory and makes the loops ready to run over it.
 *
 * @throws InvalidArgumentError when `slabBytes` is out of bounds, or `wasm` is asked for and not there
 */
export function createKernels(options: KernelsOptions): Kernels {
  const { slabBytes, implementation = 'auto' } = options
  assertInteger('slabBytes', slabBytes, 0, MAX_SLAB_BYTES, BLOCK_BYTES)
  switch (implementation) {
    case 'auto':
      return isWasmSimdSupported() ? new WasmKernels(slabBytes) : new JsKernels(slabBytes)
    case 'wasm':
      if (isWasmSimdSupported()) return new WasmKernels(slabBytes)
      throw new InvalidArgumentError(
        "implementation 'wasm' is asked for, but this runtime has no WebAssembly SIMD; 'auto' falls back to 'js'",
      )
    case 'js':
      return new JsKernels(slabBytes)
    default:
      throw new InvalidArgumentError(
        `implementation must be 'auto', 'wasm' or 'js', but is ${JSON.stringify(implementation)}`,
      )
  }
}

const MAX_SLAB_BYTES = 2 ** 30
