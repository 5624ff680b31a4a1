import { PlatterError, type SourceInfo } from '@platter/core'
import type { DiskWrite, PartitionedDisk } from '@platter/fs-adapters/partitions'

const PIECE_BYTES = 512

/** A disk of any size in memory, zeros but for what was written. Whoever reads beyond its end fails the test. */
export class SparseDisk implements PartitionedDisk {
  readonly sequential = false
  readonly info: SourceInfo & { readonly sizeBytes: number }
  bytesRead = 0
  /** Sectors of 512 bytes that cannot be read. */
  readonly bad: Set<number> = new Set()
  readonly #pieces: Map<number, Uint8Array> = new Map()

  constructor(sizeBytes: number, info: Partial<SourceInfo> = {}) {
    this.info = {
      kind: 'memory',
      label: 'disk',
      logicalSectorBytes: 512,
      physicalSectorBytes: 512,
      ...info,
      sizeBytes,
    }
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    if (offset < 0 || offset + into.length > this.info.sizeBytes)
      throw new Error(`A read of ${into.length} bytes at ${offset} leaves the disk.`)
    this.bytesRead += into.length
    this.#copy(offset, into)
    return into.length
  }

  #copy(offset: number, into: Uint8Array): void {
    for (let at = 0; at < into.length; ) {
      const index = Math.floor((offset + at) / PIECE_BYTES)
      const from = (offset + at) % PIECE_BYTES
      const length = Math.min(PIECE_BYTES - from, into.length - at)
      if (this.bad.has(index)) throw new PlatterError('ERR_SOURCE_READ', 'A bad sector.', { offset })
      const piece = this.#pieces.get(index)
      if (piece === undefined) into.fill(0, at, at + length)
      else into.set(piece.subarray(from, from + length), at)
      at += length
    }
  }

  /** A copy of what stands at `offset`. */
  at(offset: number, length: number): Buffer {
    const into = Buffer.alloc(length)
    this.#copy(offset, into)
    return into
  }

  write(offset: number, bytes: Uint8Array): this {
    if (offset + bytes.length > this.info.sizeBytes) throw new Error(`A write at ${offset} leaves the disk.`)
    for (let at = 0; at < bytes.length; ) {
      const index = Math.floor((offset + at) / PIECE_BYTES)
      const from = (offset + at) % PIECE_BYTES
      const length = Math.min(PIECE_BYTES - from, bytes.length - at)
      const piece = this.#pieces.get(index) ?? new Uint8Array(PIECE_BYTES)
      piece.set(bytes.subarray(at, at + length), from)
      this.#pieces.set(index, piece)
      at += length
    }
    return this
  }

  writeAll(writes: readonly DiskWrite[]): this {
    for (const { offset, bytes } of writes) this.write(offset, bytes)
    return this
  }

  /** The byte at `offset`, changed by `change`; what it was can be put back. */
  patch(offset: number, change: (byte: number) => number): () => void {
    const index = Math.floor(offset / PIECE_BYTES)
    const before = this.#pieces.get(index)?.[offset % PIECE_BYTES] ?? 0
    this.write(offset, Uint8Array.of(change(before)))
    return () => void this.write(offset, Uint8Array.of(before))
  }

  /** The same content on a disk of another size, or told to be something else. */
  resized(sizeBytes: number, info: Partial<SourceInfo> = {}): SparseDisk {
    const disk = new SparseDisk(sizeBytes, { ...this.info, ...info })
    for (const [index, piece] of this.#pieces) {
      const left = sizeBytes - index * PIECE_BYTES
      if (left > 0) disk.write(index * PIECE_BYTES, piece.subarray(0, left))
    }
    return disk
  }
}
