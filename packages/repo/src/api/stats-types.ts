/** Size and content of a repository. All sizes in bytes. */
export interface RepositoryStats {
  readonly snapshots: number
  /** Sum of the image sizes of all snapshots. */
  readonly bytesImages: number
  /** Plaintext of the distinct chunks stored. */
  readonly bytesUnique: number
  /** All objects of the repository. */
  readonly bytesStored: number
  readonly bytesPacks: number
  readonly bytesIndex: number
  readonly packs: number
  readonly chunks: number
}
