import { assert } from '../errors.ts'

/**
 * The length to fill something up to, so that its length tells little: the next one that has few significant bits. It
 * is at most 12 % longer, and about 3 % from a megabyte on; of all lengths up to n, some log log n bits remain visible.
 *
 * Source: Padmé, of Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PETS
 * 2019, section 4.3.
 *
 * @param bytes up to 2^31.
 * @param stepBytes a power of two that the result is a multiple of: short things are filled up further.
 */
export function paddedLength(bytes: number, stepBytes: number): number {
  assert(bytes >= 1 && bytes <= 2 ** 31, 'a length beyond all limits is to be padded')
  const exponent = 31 - Math.clz32(bytes)
  const significantBits = 32 - Math.clz32(exponent)
  const step = Math.max(stepBytes, 2 ** (exponent - significantBits))
  return Math.ceil(bytes / step) * step
}
