import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Share } from './bound.ts'
import { codecNamed } from './codec.ts'

/** A blob of a pack, in memory and ready for its codec. */
export interface PackedBlob {
  readonly storedBytes: number
  readonly rawBytes: number
  /** As its codec wants it. */
  readonly stored: Buffer
  /** Decompresses `stored`, or a copy of it. */
  unpack(stored: Buffer): Uint8Array
}

/** A worker's share of the packs of a repository without encryption: the blobs of one pack at a time. */
export function* packedBlobs({ path, worker, workers }: Share): Generator<readonly PackedBlob[]> {
  const packs = readdirSync(join(path, 'packs'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
  for (let i = worker; i < packs.length; i += workers) yield blobsOf(readFileSync(packs[i]!))
}

const TRAILER_BYTES = 64
const ENTRY_BYTES = 48

/** See docs/format.md, section 8. */
function blobsOf(pack: Buffer): PackedBlob[] {
  const directoryAt = pack.readUInt32LE(pack.length - TRAILER_BYTES)
  const blobs: PackedBlob[] = []
  for (let at = directoryAt; at < pack.length - TRAILER_BYTES; at += ENTRY_BYTES) {
    const offset = pack.readUInt32LE(at + 32)
    const storedBytes = pack.readUInt32LE(at + 36)
    const rawBytes = pack.readUInt32LE(at + 40)
    const codec = pack[at + 44]!
    const stored = pack.subarray(offset, offset + storedBytes)
    blobs.push({ storedBytes, rawBytes, stored: inputOf(codec, stored, rawBytes), unpack: UNPACK[codec]! })
  }
  return blobs
}

const LZ4 = 1

const UNPACK: readonly ((stored: Buffer) => Uint8Array)[] = [
  (stored) => stored,
  (stored) => codecNamed('lz4').decompress(stored),
  (stored) => codecNamed('zstd').decompress(stored),
]

function inputOf(codec: number, stored: Buffer, rawBytes: number): Buffer {
  if (codec !== LZ4) return stored
  // The library wants the length in front of the block.
  const prefixed = Buffer.alloc(4 + stored.length)
  prefixed.writeUInt32LE(rawBytes)
  stored.copy(prefixed, 4)
  return prefixed
}
