import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'

export const BLOCK_BYTES = 4096

/** Makes an empty image: a file of the wanted length without any data. */
export async function createSparse(path: string, sizeBytes: number): Promise<void> {
  await using image = await open(path, 'w')
  await image.truncate(sizeBytes)
}

/** A run of 4 KiB blocks of which none is all zeros. */
export interface DataRun {
  readonly offset: number
  readonly bytes: Uint8Array
}

/**
 * Reads the runs of non-zero blocks in a range of a file, in order.
 *
 * The bytes of a run are valid until the next one is asked for.
 */
export async function* readDataRuns(
  image: FileHandle,
  range: { readonly offset: number; readonly length: number },
  signal?: AbortSignal,
): AsyncGenerator<DataRun> {
  const buffer = Buffer.alloc(READ_BYTES)
  const end = range.offset + range.length
  for (let offset = range.offset; offset < end; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await image.read(buffer, 0, Math.min(buffer.length, end - offset), offset)
    if (bytesRead === 0) return
    yield* dataRunsIn(buffer.subarray(0, bytesRead), offset)
    offset += bytesRead
  }
}

/** Copies a range of one file into another at `targetOffset`, leaving holes where blocks are zero. */
export async function copyData(
  source: FileHandle,
  range: { readonly offset: number; readonly length: number },
  target: FileHandle,
  targetOffset: number,
  signal?: AbortSignal,
): Promise<void> {
  for await (const run of readDataRuns(source, range, signal)) {
    await target.write(run.bytes, 0, run.bytes.length, targetOffset + run.offset - range.offset)
  }
}

/** Copies an image, keeping it sparse. */
export async function copySparse(source: string, target: string, signal?: AbortSignal): Promise<void> {
  await using from = await open(source)
  const { size } = await from.stat()
  await using to = await open(target, 'w')
  await to.truncate(size)
  await copyData(from, { offset: 0, length: size }, to, 0, signal)
}

/** Writes the non-zero blocks of an image one after the other to `target`; returns their size in bytes. */
export async function packData(source: string, target: string, signal?: AbortSignal): Promise<number> {
  await using from = await open(source)
  const { size } = await from.stat()
  await using to = await open(target, 'w')
  let packedBytes = 0
  for await (const run of readDataRuns(from, { offset: 0, length: size }, signal)) {
    await to.write(run.bytes, 0, run.bytes.length, packedBytes)
    packedBytes += run.bytes.length
  }
  return packedBytes
}

const READ_BYTES = 4 << 20
const ZEROS = Buffer.alloc(READ_BYTES)

function* dataRunsIn(bytes: Buffer, offset: number): Generator<DataRun> {
  if (isZero(bytes)) return
  let start = 0
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    const next = Math.min(at + BLOCK_BYTES, bytes.length)
    if (!isZero(bytes.subarray(at, next))) continue
    if (at > start) yield { offset: offset + start, bytes: bytes.subarray(start, at) }
    start = next
  }
  if (start < bytes.length) yield { offset: offset + start, bytes: bytes.subarray(start) }
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS.subarray(0, bytes.length))
}
