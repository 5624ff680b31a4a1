import { closeSync, openSync, readSync, statSync } from 'node:fs'
import type { Share } from './bound.ts'

/** The average chunk size of platter. */
const CHUNK_BYTES = 256 << 10

/** Chunks are read this many at a time, outside the time that counts. */
const CHUNKS_PER_BATCH = 64

/** A worker's share of a file, in chunks of one size, some of them at a time. */
export function* fileChunks({ path, worker, workers }: Share): Generator<readonly Buffer[]> {
  const file = openSync(path, 'r')
  try {
    const sizeBytes = statSync(path).size
    const batchBytes = CHUNKS_PER_BATCH * CHUNK_BYTES
    for (let at = worker * batchBytes; at < sizeBytes; at += workers * batchBytes)
      yield readChunks(file, at, Math.min(batchBytes, sizeBytes - at))
  } finally {
    closeSync(file)
  }
}

function readChunks(file: number, at: number, length: number): Buffer[] {
  const batch = Buffer.alloc(length)
  readSync(file, batch, 0, length, at)
  const chunks: Buffer[] = []
  for (let start = 0; start < length; start += CHUNK_BYTES)
    chunks.push(batch.subarray(start, start + CHUNK_BYTES))
  return chunks
}

/** Bytes of all chunks together. */
export function totalBytes(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0)
}
