import type { PieceOutcome, PieceOutput } from './piece-output.ts'
import type { RestoreReply } from './restore-protocol.ts'
import { WINDOW_BYTES } from './slice-decoder.ts'

/** Sends restored bytes to the main thread, for targets that workers cannot write themselves. */
export class PieceSender implements PieceOutput {
  readonly #send: (reply: RestoreReply, transfer: ArrayBuffer[]) => void
  readonly #maxPieces: number
  readonly #memories: ArrayBuffer[] = []
  #made = 0
  #wake: (() => void) | undefined

  constructor(maxPieces: number, send: (reply: RestoreReply, transfer: ArrayBuffer[]) => void) {
    this.#maxPieces = maxPieces
    this.#send = send
  }

  /** Waits while too many pieces are under way: the main thread writes slices in order. */
  async write(slice: number, offset: number, bytes: Uint8Array): Promise<PieceOutcome> {
    const memory = await this.#memory()
    const copy = new Uint8Array(memory, 0, bytes.length)
    copy.set(bytes)
    this.#send({ type: 'piece', slice, offset, bytes: copy }, [memory])
    return { written: bytes.length, unchanged: 0 }
  }

  giveBack(memory: ArrayBuffer): void {
    this.#memories.push(memory)
    this.#wake?.()
  }

  async #memory(): Promise<ArrayBuffer> {
    while (this.#memories.length === 0) {
      if (this.#made < this.#maxPieces) {
        this.#made++
        return new ArrayBuffer(WINDOW_BYTES)
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#memories.pop()!
  }
}
