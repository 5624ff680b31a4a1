import type { FileHandle } from 'node:fs/promises'
import type { ByteRange } from './disk-layout.ts'
import type { Entry } from './entry.ts'
import { readContent } from './entry.ts'
import { BLOCK_BYTES } from './sparse-image.ts'

/**
 * A stand-in for a filesystem where no tool can make a real one: a table of file records,
 * then the contents of the files in whole 4 KiB blocks. Removed files leave their data behind and
 * their blocks are used again, in pieces if need be, as in real filesystems.
 *
 * It keeps no image of its own, so that a copy of the image can be changed after the first.
 */
export class SyntheticFilesystem {
  readonly #range: ByteRange
  readonly #used: Uint8Array
  readonly #records = new Map<Entry, { readonly slot: number; readonly runs: readonly BlockRun[] }>()
  readonly #freeSlots: number[] = []
  readonly #slotLimit: number
  #slotCount = 0
  #nextFree: number

  constructor(range: ByteRange) {
    const blockCount = Math.floor(range.length / BLOCK_BYTES)
    const tableBlocks = Math.ceil(blockCount / BLOCKS_PER_TABLE_BLOCK)
    this.#range = range
    this.#used = new Uint8Array(blockCount).fill(1, 0, tableBlocks)
    this.#slotLimit = (tableBlocks * BLOCK_BYTES) / RECORD_BYTES
    this.#nextFree = tableBlocks
  }

  async add(image: FileHandle, entries: readonly Entry[], signal?: AbortSignal): Promise<void> {
    for (const entry of entries) {
      signal?.throwIfAborted()
      const runs = this.#allocate(Math.ceil(entry.sizeBytes / BLOCK_BYTES))
      const slot = this.#freeSlots.pop() ?? this.#slotCount++
      if (slot >= this.#slotLimit) throw new RangeError(DOES_NOT_FIT)
      this.#records.set(entry, { slot, runs })
      await this.#writeRecord(
        image,
        slot,
        `${entry.directory}/${entry.name}\0${entry.sizeBytes}\0${runs[0]?.start}`,
      )
      await this.#writeContent(image, entry, runs)
    }
  }

  async remove(image: FileHandle, entries: readonly Entry[], signal?: AbortSignal): Promise<void> {
    for (const entry of entries) {
      signal?.throwIfAborted()
      const record = this.#records.get(entry)
      if (record === undefined) throw new Error(`${entry.directory}/${entry.name} is not on the disk.`)
      for (const run of record.runs) this.#used.fill(0, run.start, run.start + run.count)
      this.#records.delete(entry)
      this.#freeSlots.push(record.slot)
      await this.#writeRecord(image, record.slot, '')
      this.#nextFree = Math.min(this.#nextFree, record.runs[0]?.start ?? this.#nextFree)
    }
  }

  /** Takes the first free blocks, in as many runs as it needs. */
  #allocate(blockCount: number): BlockRun[] {
    const runs: BlockRun[] = []
    for (let left = blockCount; left > 0; ) {
      const start = this.#used.indexOf(0, this.#nextFree)
      if (start < 0) throw new RangeError(DOES_NOT_FIT)
      let count = 1
      while (count < left && this.#used[start + count] === 0) count++
      this.#used.fill(1, start, start + count)
      runs.push({ start, count })
      this.#nextFree = start + count
      left -= count
    }
    return runs
  }

  async #writeRecord(image: FileHandle, slot: number, text: string): Promise<void> {
    const record = Buffer.alloc(RECORD_BYTES)
    record.write(text)
    await image.write(record, 0, RECORD_BYTES, this.#range.offset + slot * RECORD_BYTES)
  }

  async #writeContent(image: FileHandle, entry: Entry, runs: readonly BlockRun[]): Promise<void> {
    let run = 0
    let doneInRun = 0
    for await (const piece of readContent(entry)) {
      for (let done = 0; done < piece.length; ) {
        const { start, count } = runs[run]!
        const length = Math.min(piece.length - done, count * BLOCK_BYTES - doneInRun)
        const position = this.#range.offset + start * BLOCK_BYTES + doneInRun
        await image.write(piece, done, length, position)
        done += length
        doneInRun += length
        if (doneInRun === count * BLOCK_BYTES) {
          run++
          doneInRun = 0
        }
      }
    }
  }
}

interface BlockRun {
  readonly start: number
  readonly count: number
}

const DOES_NOT_FIT = 'The files do not fit on the disk: make it larger, or the data less.'
const RECORD_BYTES = 256

/** One record for every four blocks of data: room for files of 16 KiB on average. */
const BLOCKS_PER_TABLE_BLOCK = (4 * BLOCK_BYTES) / RECORD_BYTES
