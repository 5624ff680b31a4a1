import { scrypt as nodeScrypt } from 'node:crypto'
import { PlatterError } from '@platter/core'

/**
 * Cost of trying a passphrase, as scrypt (RFC 7914) counts it: `128 · N · r` bytes of memory, and time in proportion
 * to `N · r · p`.
 */
export interface ScryptParameters {
  /** A power of two, 2^14 to 2^20. */
  readonly N: number
  /** Always 8. */
  readonly r: number
  /** 1 to 4. */
  readonly p: number
}

/** What new slots get: 128 MiB and a few tenths of a second for each try. */
export const DEFAULT_SCRYPT: ScryptParameters = Object.freeze({ N: 2 ** 17, r: 8, p: 1 })

const MIN_N = 2 ** 14
const MAX_N = 2 ** 20
const R = 8
const MAX_P = 4
/** What an implementation needs beside the 128 · N · r bytes that scrypt is about. */
const EXTRA_MEMORY_BYTES = 1024 * 1024

/** Whether parameters are strong enough, and so weak that nobody can be made to run out of time or memory by them. */
export function isScryptInRange({ N, r, p }: ScryptParameters): boolean {
  const isPowerOfTwo = Number.isSafeInteger(N) && N >= MIN_N && N <= MAX_N && (N & (N - 1)) === 0
  return isPowerOfTwo && r === R && Number.isSafeInteger(p) && p >= 1 && p <= MAX_P
}

/** Time that one try takes, in a unit of its own. */
export function scryptCost({ N, p }: ScryptParameters): number {
  return N * p
}

/** What a try takes at most. */
export const MAX_SCRYPT_COST: number = MAX_N * MAX_P

/** What is in range, for messages. */
export const SCRYPT_RANGE: string = `N a power of two from 2^14 to 2^20, r = ${R}, p from 1 to ${MAX_P}`

/** 32 bytes from a passphrase, in a thread of its own. @throws ERR_KEY_SLOT_PARAMETERS before any work. */
export async function scrypt(
  passphrase: Uint8Array,
  salt: Uint8Array,
  parameters: ScryptParameters,
): Promise<Uint8Array> {
  if (!isScryptInRange(parameters))
    throw new PlatterError('ERR_KEY_SLOT_PARAMETERS', `Parameters of scrypt must be ${SCRYPT_RANGE}.`)
  const { N, r, p } = parameters
  const maxmem = 128 * r * (N + p) + EXTRA_MEMORY_BYTES
  return await new Promise((resolve, reject) => {
    nodeScrypt(passphrase, salt, 32, { N, r, p, maxmem }, (error, key) => {
      if (error === null) resolve(key)
      else reject(error)
    })
  })
}
