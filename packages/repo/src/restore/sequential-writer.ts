import type { BlockTarget } from '@platter/core'

interface Section {
  readonly end: number
  readonly pieces: Piece[]
  done: boolean
}

interface Piece {
  readonly offset: number
  readonly bytes: Uint8Array
  readonly written: () => void
}

/** Zeros are written so many at a time: how far the target is can be told in between. */
const ZERO_STEP_BYTES = 8 * 1024 * 1024

/** Writes to a target that only goes forward, whatever order workers finish in; gaps between pieces are zeros. */
export class SequentialWriter {
  readonly #target: BlockTarget
  readonly #signal: AbortSignal
  readonly #onFailure: (error: unknown) => void
  /** Sections of the image that are not written out yet, in order; the map finds them by slice. */
  readonly #sections: Section[] = []
  readonly #bySlice = new Map<number, Section>()
  #position = 0
  #running = false
  #idle: (() => void) | undefined

  constructor(target: BlockTarget, signal: AbortSignal, onFailure: (error: unknown) => void) {
    this.#target = target
    this.#signal = signal
    this.#onFailure = onFailure
  }

  /** Appends a slice whose pieces will come, up to image offset `end`. */
  slice(slice: number, end: number): void {
    const section = { end, pieces: [], done: false }
    this.#sections.push(section)
    this.#bySlice.set(slice, section)
  }

  /** Appends zeros up to image offset `end`. */
  zeros(end: number): void {
    this.#sections.push({ end, pieces: [], done: true })
    this.#pump()
  }

  /** @param written called when the bytes may be reused. */
  piece(slice: number, offset: number, bytes: Uint8Array, written: () => void): void {
    this.#bySlice.get(slice)!.pieces.push({ offset, bytes, written })
    this.#pump()
  }

  /** No more pieces of this slice. */
  sliceDone(slice: number): void {
    this.#bySlice.get(slice)!.done = true
    this.#bySlice.delete(slice)
    this.#pump()
  }

  /** Bytes of the image that the target has taken so far. */
  get position(): number {
    return this.#position
  }

  /** Sections not written out yet. */
  get pending(): number {
    return this.#sections.length
  }

  /** Calls `listener` whenever a section has been written out. */
  onSection(listener: () => void): void {
    this.#idle = listener
  }

  #pump(): void {
    if (this.#running) return
    this.#running = true
    this.#drain().catch(this.#onFailure)
  }

  async #drain(): Promise<void> {
    const options = { signal: this.#signal }
    try {
      for (let section = this.#sections[0]; section !== undefined; section = this.#sections[0]) {
        for (let piece = section.pieces.shift(); piece !== undefined; piece = section.pieces.shift()) {
          await this.#zeroTo(piece.offset)
          await this.#target.write(piece.offset, piece.bytes, options)
          this.#position += piece.bytes.length
          piece.written()
        }
        if (!section.done) return
        await this.#zeroTo(section.end)
        this.#sections.shift()
        this.#idle?.()
      }
    } finally {
      // In the same turn as the last look at the sections, so that no piece comes in between and is forgotten.
      this.#running = false
    }
  }

  async #zeroTo(end: number): Promise<void> {
    while (this.#position < end) {
      const length = Math.min(ZERO_STEP_BYTES, end - this.#position)
      await this.#target.zero(this.#position, length, { signal: this.#signal })
      this.#position += length
    }
  }
}
