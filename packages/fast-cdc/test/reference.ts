// What the package computes, written once more from the definitions, as plainly as can be and with BigInt.
import { createCipheriv } from 'node:crypto'
import type { ChunkSizes } from 'fast-cdc'

const mask32 = 2n ** 32n - 1n
const mask64 = 2n ** 64n - 1n

/** Digests of whole blocks. */
export function referenceDigests(key: Uint8Array, data: Uint8Array): Uint8Array {
  const keyWords = words(keystream(key, 'cdc nh  ', 4096))
  const digests = Buffer.alloc((data.length / 4096) * 16)
  for (let block = 0; block < data.length / 4096; block++) {
    const message = words(data.subarray(block * 4096, (block + 1) * 4096))
    const lanes: [bigint, bigint] = [0n, 0n]
    for (let i = 0; i < 1024; i++) {
      if (i % 8 >= 4) continue
      const left = (message[i]! + keyWords[i]!) & mask32
      const right = (message[i + 4]! + keyWords[i + 4]!) & mask32
      const lane = i % 2 === 0 ? 0 : 1
      lanes[lane] = (lanes[lane] + left * right) & mask64
    }
    digests.writeBigUInt64LE(lanes[0], block * 16)
    digests.writeBigUInt64LE(lanes[1], block * 16 + 8)
  }
  return digests
}

/** Tags, each block encrypted on its own. */
export function referenceTags(cutKey: Uint8Array, digests: Uint8Array): Uint8Array {
  const tags: Uint8Array[] = []
  for (let i = 0; i < digests.length; i += 16) {
    const cipher = createCipheriv('aes-256-ecb', cutKey, null).setAutoPadding(false)
    tags.push(cipher.update(digests.subarray(i, i + 16)), cipher.final())
  }
  return Buffer.concat(tags)
}

/** Cuts of a whole segment, the last one included. */
export function referenceAlignedCuts(tags: Uint8Array, segmentBytes: number, sizes: ChunkSizes): number[] {
  const expected = (sizes.averageBytes - sizes.minBytes) / 4096
  const threshold = Math.floor(2 ** 32 / (1 + expected))
  const cuts = [0]
  for (let block = 0; block * 4096 < segmentBytes; block++) {
    const end = Math.min(segmentBytes, (block + 1) * 4096)
    const chunkBytes = end - cuts.at(-1)!
    const small = Buffer.from(tags).readUInt32LE(block * 16) < threshold
    const atMost = chunkBytes >= sizes.maxBytes
    if ((chunkBytes >= sizes.minBytes && small) || atMost || end === segmentBytes) cuts.push(end)
  }
  return cuts.slice(1)
}

/** Cuts of a whole segment; the hash of every place is computed anew from the 64 bytes before it. */
export function referenceGearCuts(gearKey: Uint8Array, data: Uint8Array, sizes: ChunkSizes): number[] {
  const gear = Array.from({ length: 256 }, (_, i) =>
    Buffer.from(keystream(gearKey, 'cdc gear', 2048)).readBigUInt64LE(8 * i),
  )
  const exponent = Math.round(Math.log2(sizes.averageBytes))
  const cuts = [0]
  for (let end = 1; end <= data.length; end++) {
    const chunkBytes = end - cuts.at(-1)!
    if (end < data.length && chunkBytes < sizes.minBytes) continue
    const bits = BigInt(chunkBytes < sizes.averageBytes ? exponent + 2 : exponent - 2)
    if (end === data.length || chunkBytes === sizes.maxBytes || hash(end) >> (64n - bits) === 0n)
      cuts.push(end)
  }
  return cuts.slice(1)

  function hash(end: number): bigint {
    let sum = 0n
    for (let i = 0; i < 64; i++) sum += gear[data[end - 1 - i]!]! << BigInt(i)
    return sum & mask64
  }
}

/** Bytes from a seed (Marsaglia's xorshift32), without structure. */
export function randomBytes(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed >>> 0 || 1
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state >>> 24
  }
  return bytes
}

/** A 32-byte key: first, first + 1, ... */
export function countingKey(first: number): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => first + i)
}

function keystream(key: Uint8Array, label: string, length: number): Uint8Array {
  const counter = Buffer.alloc(16)
  counter.write(label, 'ascii')
  return createCipheriv('aes-256-ctr', key, counter).update(Buffer.alloc(length))
}

function words(bytes: Uint8Array): bigint[] {
  const buffer = Buffer.from(bytes)
  return Array.from({ length: bytes.length / 4 }, (_, i) => BigInt(buffer.readUInt32LE(4 * i)))
}
