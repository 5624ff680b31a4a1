import type { ByteRange } from '../api/snapshot-types.ts'
import type { PieceRead, PieceReader } from './region-encoder.ts'

interface Piece {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly bad: readonly ByteRange[]
}

/** Pieces that the main thread read and sent, for sources that have no file descriptor. */
export class PieceQueue implements PieceReader {
  readonly #pieces: Piece[] = []
  readonly #giveBack: (memory: ArrayBuffer) => void
  #wake: (() => void) | undefined

  /** @param giveBack takes a piece's memory once its bytes have been copied. */
  constructor(giveBack: (memory: ArrayBuffer) => void) {
    this.#giveBack = giveBack
  }

  push(piece: Piece): void {
    this.#pieces.push(piece)
    this.#wake?.()
  }

  async read(_offset: number, into: Uint8Array): Promise<PieceRead> {
    while (this.#pieces.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const { bytes, bad } = this.#pieces.shift()!
    into.set(bytes)
    // Giving the memory back detaches it, and its length with it.
    const { length } = bytes
    this.#giveBack(bytes.buffer)
    return { bytes: length, bad }
  }
}
