// Sections 1, 3, 6, 7 and 13 (block digest) of docs/format.md.
import assert from 'node:assert/strict'
import { createCipheriv, hkdfSync } from 'node:crypto'
import { blake3 } from './libraries.ts'

export const BLOCK = 4096

export function hash(...parts: Uint8Array[]): Uint8Array {
  return blake3(Buffer.concat(parts))
}

export function keyedHash(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  return blake3(Buffer.concat(parts), { key })
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

/** Section 6. */
export interface Keys {
  readonly chunk: Uint8Array
  readonly node: Uint8Array
  readonly block: Uint8Array
  readonly tag: Uint8Array
  readonly gear: Uint8Array
  readonly image: Uint8Array
  /** Of encrypted repositories. */
  readonly packs: Uint8Array
  readonly metadata: Uint8Array
}

export function deriveKeys(secret: Uint8Array, id: Uint8Array): Keys {
  const derive = (purpose: string): Uint8Array => new Uint8Array(hkdfSync('sha256', secret, id, purpose, 32))
  return {
    chunk: derive('platter v1 chunk id'),
    node: derive('platter v1 node id'),
    block: derive('platter v1 block digest'),
    tag: derive('platter v1 cut tag'),
    gear: derive('platter v1 gear table'),
    image: derive('platter v1 image digest'),
    packs: derive('platter v1 packs'),
    metadata: derive('platter v1 metadata'),
  }
}

export function expand(key: Uint8Array, label: string, length: number): Buffer {
  assert.equal(label.length, 8)
  const counter = Buffer.concat([Buffer.from(label, 'ascii'), Buffer.alloc(8)])
  return createCipheriv('aes-256-ctr', key, counter).update(Buffer.alloc(length))
}

/** Section 3: the payload of a record that is not encrypted, after all checks. */
export function openPlain(name: string, type: number, bytes: Uint8Array): Buffer {
  const record = Buffer.from(bytes)
  assert.ok(record.length >= 48, 'a record has a header and a checksum')
  assert.equal(record.toString('latin1', 0, 4), 'PLTR')
  const end = record.length - 32
  const covered = [Buffer.of(name.length), Buffer.from(name, 'ascii'), record.subarray(0, end)]
  assert.ok(same(hash(...covered), record.subarray(end)), `checksum of ${name}`)
  assert.equal(record[4], 1, 'version')
  assert.equal(record[6], 0, 'suite')
  assert.equal(record.readUInt32LE(8), end - 16, 'payload length')
  assert.equal(record[5], type, 'type')
  return record.subarray(16, end)
}

/** Section 3, the other way round. */
export function sealPlain(name: string, type: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(16)
  header.write('PLTR', 0, 'latin1')
  header[4] = 1
  header[5] = type
  header.writeUInt32LE(payload.length, 8)
  const sum = hash(Buffer.of(name.length), Buffer.from(name, 'ascii'), header, payload)
  return Buffer.concat([header, payload, sum])
}

/** Section 13, block digest: of every block of `bytes`, the last one filled up with zeros. 16 bytes each. */
export function blockDigests(key: Uint8Array, bytes: Uint8Array): Buffer {
  const k = words(expand(key, 'cdc nh  ', BLOCK))
  const count = Math.ceil(bytes.length / BLOCK)
  const digests = Buffer.alloc(count * 16)
  for (let block = 0; block < count; block++) {
    const padded = Buffer.alloc(BLOCK)
    padded.set(bytes.subarray(block * BLOCK, (block + 1) * BLOCK))
    const m = words(padded)
    const lanes = [0n, 0n]
    for (let g = 0; g < 128; g++) {
      for (let c = 0; c < 4; c++) {
        const a = (m[8 * g + c]! + k[8 * g + c]!) % 2 ** 32
        const b = (m[8 * g + 4 + c]! + k[8 * g + 4 + c]!) % 2 ** 32
        lanes[c % 2] = BigInt.asUintN(64, lanes[c % 2]! + BigInt(a) * BigInt(b))
      }
    }
    digests.writeBigUInt64LE(lanes[0]!, block * 16)
    digests.writeBigUInt64LE(lanes[1]!, block * 16 + 8)
  }
  return digests
}

function words(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readUInt32LE(4 * i))
}

/** Section 14: the digest of a region; undefined where all of it is zero. */
export function regionDigest(keys: Keys, bytes: Uint8Array): Uint8Array | undefined {
  const zero = blockDigests(keys.block, Buffer.alloc(BLOCK))
  const digests = blockDigests(keys.block, bytes)
  if (slices(digests, 16).every((digest) => same(digest, zero))) return undefined
  return keyedHash(keys.image, digests)
}

/**
 * Section 14: the image digest.
 *
 * @param regionAt the bytes of a region, or undefined where it is known to be all zero.
 */
export function imageDigest(
  keys: Keys,
  size: number,
  regionBytes: number,
  regionAt: (region: number) => Uint8Array | undefined,
): Uint8Array {
  const items = [u64(size)]
  let zeroRegions = 0
  const endZeros = (): void => {
    if (zeroRegions > 0) items.push(Buffer.of(0), u64(zeroRegions))
    zeroRegions = 0
  }
  for (let region = 0; region * regionBytes < size; region++) {
    const bytes = regionAt(region)
    const digest = bytes === undefined ? undefined : regionDigest(keys, bytes)
    if (digest === undefined) {
      zeroRegions++
      continue
    }
    endZeros()
    items.push(Buffer.of(1), Buffer.from(digest))
  }
  endZeros()
  return keyedHash(keys.image, ...items)
}

export function slices(bytes: Uint8Array, length: number): Uint8Array[] {
  return Array.from({ length: bytes.length / length }, (_, i) => bytes.subarray(i * length, (i + 1) * length))
}
