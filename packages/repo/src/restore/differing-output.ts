import type { ReadTarget } from './compare-region.ts'
import { differingRuns } from './differing-runs.ts'
import type { PieceOutcome, PieceOutput } from './piece-output.ts'
import { WINDOW_BYTES } from './slice-decoder.ts'

/** Writes what of a piece differs from what the target holds, block by block. */
export class DifferingOutput implements PieceOutput {
  readonly #inner: PieceOutput
  readonly #read: ReadTarget
  readonly #present = new Uint8Array(WINDOW_BYTES)

  constructor(inner: PieceOutput, read: ReadTarget) {
    this.#inner = inner
    this.#read = read
  }

  async write(slice: number, offset: number, bytes: Uint8Array): Promise<PieceOutcome> {
    const into = this.#present.subarray(0, bytes.length)
    const present = into.subarray(0, await this.#read(offset, into))
    let written = 0
    for (const run of differingRuns(bytes, present)) {
      const piece = bytes.subarray(run.offset, run.offset + run.length)
      written += (await this.#inner.write(slice, offset + run.offset, piece)).written
    }
    return { written, unchanged: bytes.length - written }
  }
}
