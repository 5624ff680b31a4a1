/** Takes restored bytes, in ascending order within a slice. */
export interface PieceOutput {
  /** Largest piece it takes. `bytes` may be reused once it resolved. */
  write(slice: number, offset: number, bytes: Uint8Array): Promise<void>
}
