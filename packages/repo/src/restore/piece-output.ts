/** What became of a piece, in bytes. */
export interface PieceOutcome {
  readonly written: number
  /** Found on the target already. */
  readonly unchanged: number
}

/** Takes restored bytes, in ascending order within a slice. */
export interface PieceOutput {
  /** Largest piece it takes. `bytes` may be reused once it resolved. */
  write(slice: number, offset: number, bytes: Uint8Array): Promise<PieceOutcome>
}
