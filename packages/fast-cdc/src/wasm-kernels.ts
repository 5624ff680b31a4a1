import type { CutList } from './cut-list.ts'
import { GEAR_WINDOW_BYTES, type GearSearch, type GearTable } from './gear-hash.ts'
import { KERNELS_BASE64 } from './kernels.generated.ts'
import type { Kernels } from './kernels.ts'
import { BLOCK_BYTES, DIGEST_BYTES, type NhKey } from './nh-digest.ts'

/** The loops of assembly/kernels.ts, over one memory of fixed size. */
export class WasmKernels implements Kernels {
  readonly implementation = 'wasm-simd' as const
  readonly slab: Uint8Array
  readonly digests: Uint8Array
  readonly zeroFlags: Uint8Array
  readonly #memory: Uint8Array
  readonly #view: DataView
  readonly #exports: KernelExports
  readonly #digestsAddress: number
  readonly #zeroFlagsAddress: number
  readonly #slabAddress: number
  // Key material lies in memory once; these tell whose it is, so that users with other keys put theirs in.
  #loadedKey: NhKey | undefined
  #loadedTable: GearTable | undefined

  constructor(slabBytes: number) {
    const blockCount = slabBytes / BLOCK_BYTES
    this.#slabAddress = FIXED_BYTES
    this.#digestsAddress = this.#slabAddress + slabBytes
    this.#zeroFlagsAddress = this.#digestsAddress + blockCount * DIGEST_BYTES
    const pageCount = Math.ceil((this.#zeroFlagsAddress + blockCount) / PAGE_BYTES)
    const memory = new WebAssembly.Memory({ initial: pageCount, maximum: pageCount })
    compiled ??= new WebAssembly.Module(decodeKernels())
    this.#exports = new WebAssembly.Instance(compiled, { env: { memory } })
      .exports as unknown as KernelExports
    this.#memory = new Uint8Array(memory.buffer)
    this.#view = new DataView(memory.buffer)
    this.slab = new Uint8Array(memory.buffer, this.#slabAddress, slabBytes)
    this.digests = new Uint8Array(memory.buffer, this.#digestsAddress, blockCount * DIGEST_BYTES)
    this.zeroFlags = new Uint8Array(memory.buffer, this.#zeroFlagsAddress, blockCount)
  }

  scanBlocks(key: NhKey, offset: number, blockCount: number): void {
    if (this.#loadedKey !== key) {
      this.#memory.set(key.bytes, NH_KEY_ADDRESS)
      this.#memory.set(key.zeroDigest, ZERO_DIGEST_ADDRESS)
      this.#loadedKey = key
    }
    this.#exports.scanBlocks(
      this.#slabAddress + offset,
      blockCount,
      NH_KEY_ADDRESS,
      ZERO_DIGEST_ADDRESS,
      this.#digestsAddress,
      this.#zeroFlagsAddress,
    )
  }

  findGearCuts(search: GearSearch, bytes: Uint8Array, base: number, cuts: CutList): void {
    if (this.#loadedTable !== search.table) {
      this.#memory.set(search.table.bytes, GEAR_TABLE_ADDRESS)
      this.#loadedTable = search.table
    }
    this.#storeState(search)
    const inPlace = bytes.buffer === this.#memory.buffer
    for (let at = 0; at < bytes.length; at += STAGING_BYTES) {
      const byteCount = Math.min(STAGING_BYTES, bytes.length - at)
      if (!inPlace) this.#memory.set(bytes.subarray(at, at + byteCount), STAGING_ADDRESS)
      const address = inPlace ? bytes.byteOffset + at : STAGING_ADDRESS
      const cutCount = this.#searchPiece(search, address, byteCount)
      for (let i = 0; i < cutCount; i++) {
        cuts.append(base + at + this.#view.getUint32(CUTS_ADDRESS + 4 * i, true))
      }
    }
    this.#loadState(search)
  }

  #searchPiece(search: GearSearch, address: number, byteCount: number): number {
    return this.#exports.findGearCuts(
      address,
      byteCount,
      GEAR_TABLE_ADDRESS,
      GEAR_STATE_ADDRESS,
      search.sizes.minBytes,
      search.sizes.averageBytes,
      search.sizes.maxBytes,
      search.strictMask,
      search.looseMask,
      CUTS_ADDRESS,
    )
  }

  // The search's state lives in its own object between calls, so that many searches can share one memory; and it
  // crosses as 32-bit halves, because a 64-bit parameter would be a BigInt.
  #storeState(search: GearSearch): void {
    this.#view.setInt32(GEAR_STATE_ADDRESS, search.hashLow, true)
    this.#view.setInt32(GEAR_STATE_ADDRESS + 4, search.hashHigh, true)
    this.#view.setInt32(GEAR_STATE_ADDRESS + 8, search.chunkBytes, true)
  }

  #loadState(search: GearSearch): void {
    search.hashLow = this.#view.getInt32(GEAR_STATE_ADDRESS, true)
    search.hashHigh = this.#view.getInt32(GEAR_STATE_ADDRESS + 4, true)
    search.chunkBytes = this.#view.getInt32(GEAR_STATE_ADDRESS + 8, true)
  }
}

/** Whether this runtime can run the kernels: it is asked about the very module, so no feature is forgotten. */
export function isWasmSimdSupported(): boolean {
  if (supported === undefined) {
    supported = typeof WebAssembly === 'object' && WebAssembly.validate(decodeKernels())
  }
  return supported
}

interface KernelExports {
  scanBlocks(
    data: number,
    blockCount: number,
    key: number,
    zeroDigest: number,
    digests: number,
    zeroFlags: number,
  ): void
  findGearCuts(
    data: number,
    byteCount: number,
    gear: number,
    state: number,
    minBytes: number,
    averageBytes: number,
    maxBytes: number,
    strictMask: number,
    looseMask: number,
    cuts: number,
  ): number
}

let supported: boolean | undefined
let compiled: WebAssembly.Module | undefined

const PAGE_BYTES = 65536

// Data from elsewhere is copied through this much memory: small enough to stay in a core's cache.
const STAGING_BYTES = 256 * 1024
// No piece has more cuts than that, for a chunk begun before it has at most 63 of the least chunk's 64 bytes.
const CUTS_BYTES = 4 * (STAGING_BYTES / GEAR_WINDOW_BYTES)

// The layout of the memory: what has a fixed size, and then, page-aligned, the slab with its digests and flags.
const NH_KEY_ADDRESS = 0
const GEAR_TABLE_ADDRESS = NH_KEY_ADDRESS + BLOCK_BYTES
const ZERO_DIGEST_ADDRESS = GEAR_TABLE_ADDRESS + 256 * 8
const GEAR_STATE_ADDRESS = ZERO_DIGEST_ADDRESS + DIGEST_BYTES
const CUTS_ADDRESS = GEAR_STATE_ADDRESS + 16
const STAGING_ADDRESS = Math.ceil((CUTS_ADDRESS + CUTS_BYTES) / PAGE_BYTES) * PAGE_BYTES
const FIXED_BYTES = STAGING_ADDRESS + STAGING_BYTES

function decodeKernels(): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(KERNELS_BASE64), (character) => character.charCodeAt(0))
}
