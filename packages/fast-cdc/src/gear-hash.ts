import type { ChunkSizes } from './chunker.ts'
import type { CutList } from './cut-list.ts'
import { expandKey } from './keystream.ts'

/** Bytes that a 64-bit gear hash remembers: each shifts out after 64 steps. It is the least chunk size, too. */
export const GEAR_WINDOW_BYTES = 64

/** 256 random 64-bit words, G[b] for byte b; `bytes` holds them little-endian, `low` and `high` their halves. */
export interface GearTable {
  readonly bytes: Uint8Array
  readonly low: Int32Array
  readonly high: Int32Array
}

/** The parameters of a FastCDC search, and where it stands: the hash and the bytes of the unfinished chunk. */
export interface GearSearch {
  readonly table: GearTable
  readonly sizes: ChunkSizes
  /** High halves of the 64-bit masks; their low halves are zero. */
  readonly strictMask: number
  readonly looseMask: number
  hashLow: number
  hashHigh: number
  chunkBytes: number
}

/**
 * Continues a FastCDC search over all of `bytes`, and appends each cut as `base` + bytes from the start of `bytes`.
 *
 * FastCDC (Xia et al., USENIX ATC '16; IEEE TPDS 31(9), 2020) with a 64-bit gear hash and normalised chunking, level 2:
 *
 * - The hash takes byte b by hash = (2 * hash + G[b]) mod 2^64, so after 64 bytes it depends on these alone, and need
 *   not be cleared between chunks.
 * - The first minBytes - 64 bytes of a chunk are skipped; the 64 after them fill the window. So whether a cut may
 *   stand at a place depends only on the 64 bytes before it, and on which of the ranges below the length lies in.
 * - A chunk of length n may end from n = minBytes on: below averageBytes when hash AND strict mask is 0, from
 *   averageBytes on when hash AND loose mask is 0; and ends at n = maxBytes in any case.
 * - With e = log2(averageBytes), rounded to the nearest integer, the strict mask is the e + 2 highest bits, the loose
 *   one the e - 2 highest: the bits that nearly all of the window has reached. Few chunks end below averageBytes and
 *   few get far beyond it, so the mean is a little above.
 *
 * This is the twin of `findGearCuts` in assembly/kernels.ts.
 */
export function findGearCuts(search: GearSearch, bytes: Uint8Array, base: number, cuts: CutList): void {
  const { low: gearLow, high: gearHigh } = search.table
  const { minBytes, averageBytes, maxBytes } = search.sizes
  let { hashLow, hashHigh, chunkBytes } = search
  let at = 0
  while (at < bytes.length) {
    if (chunkBytes < minBytes - GEAR_WINDOW_BYTES) {
      const step = Math.min(bytes.length - at, minBytes - GEAR_WINDOW_BYTES - chunkBytes)
      at += step
      chunkBytes += step
      continue
    }
    // One loop serves for filling the window, where nothing is tested, and for both masks.
    const filling = chunkBytes + 1 < minBytes
    const strict = chunkBytes + 1 < averageBytes
    const mask = strict ? search.strictMask : search.looseMask
    const limit = filling ? minBytes - 1 : strict ? averageBytes - 1 : maxBytes
    const start = at
    const stop = Math.min(bytes.length, at + limit - chunkBytes)
    let hit = false
    while (at < stop && !hit) {
      const byte = bytes[at++]!
      const doubled = hashLow << 1
      const addend = gearLow[byte]!
      const sum = (doubled + addend) | 0
      // The carry out of bit 31, in bitwise logic: twice as quick as comparing unsigned numbers.
      const carry = ((doubled & addend) | ((doubled | addend) & ~sum)) >>> 31
      hashHigh = (((hashHigh << 1) | (hashLow >>> 31)) + gearHigh[byte]! + carry) | 0
      hashLow = sum
      hit = !filling && (hashHigh & mask) === 0
    }
    chunkBytes += at - start
    if (hit || chunkBytes === maxBytes) {
      cuts.append(base + at)
      chunkBytes = 0
    }
  }
  search.hashLow = hashLow
  search.hashHigh = hashHigh
  search.chunkBytes = chunkBytes
}

/**
 * Makes a search at the start of a segment.
 *
 * @throws InvalidArgumentError when `key` is not 32 bytes
 */
export function createGearSearch(key: Uint8Array, sizes: ChunkSizes): GearSearch {
  const exponent = Math.round(Math.log2(sizes.averageBytes))
  return {
    table: deriveGearTable(key),
    sizes,
    strictMask: highBits(exponent + NORMALISATION_LEVEL),
    looseMask: highBits(exponent - NORMALISATION_LEVEL),
    hashLow: 0,
    hashHigh: 0,
    chunkBytes: 0,
  }
}

const NORMALISATION_LEVEL = 2

function deriveGearTable(key: Uint8Array): GearTable {
  const bytes = expandKey('gearKey', key, 'cdc gear', 256 * 8)
  const view = new DataView(bytes.buffer)
  const low = Int32Array.from({ length: 256 }, (_, i) => view.getInt32(8 * i, true))
  const high = Int32Array.from({ length: 256 }, (_, i) => view.getInt32(8 * i + 4, true))
  return { bytes, low, high }
}

/** The `count` highest of 32 bits, count from 1 to 32, as a signed 32-bit integer. */
function highBits(count: number): number {
  return -1 << (32 - count)
}
