import type { PieceOutcome, PieceOutput } from './piece-output.ts'
import { partsOf, type RestoreScope } from './restore-scope.ts'

/** Takes pieces at offsets of the image, and passes on what of them is restored, at offsets of the target. */
export class ScopedOutput implements PieceOutput {
  readonly #inner: PieceOutput
  readonly #scope: RestoreScope

  constructor(inner: PieceOutput, scope: RestoreScope) {
    this.#inner = inner
    this.#scope = scope
  }

  async write(slice: number, offset: number, bytes: Uint8Array): Promise<PieceOutcome> {
    let written = 0
    let unchanged = 0
    for (const part of partsOf(this.#scope, offset, bytes.length)) {
      const from = part.offset - offset
      const piece = bytes.subarray(from, from + part.length)
      const outcome = await this.#inner.write(slice, part.offset - this.#scope.offset, piece)
      written += outcome.written
      unchanged += outcome.unchanged
    }
    return { written, unchanged }
  }
}
