/** Takes restored bytes, in ascending order within a region. */
export interface PieceOutput {
  /** Largest piece it takes. `bytes` may be reused once it resolved. */
  write(region: number, offset: number, bytes: Uint8Array): Promise<void>
}
