import { deriveKey, idBytes, type RepositoryId } from '@platter/core'
import type { RepositoryConfig } from './repository-config.ts'

/** The keys of a repository, 32 bytes each. Plain data: workers get a copy (docs/format.md, Keys). */
export interface RepositoryKeys {
  readonly chunkId: Uint8Array
  readonly nodeId: Uint8Array
  readonly blockDigest: Uint8Array
  readonly cutTag: Uint8Array
  readonly gearTable: Uint8Array
  readonly imageDigest: Uint8Array
  /** What the keys of all packs come from; undefined in a repository without encryption. */
  readonly pack: Uint8Array | undefined
  /** What the keys of all records come from; undefined in a repository without encryption. */
  readonly metadata: Uint8Array | undefined
}

/** Derives every key from the repository's secret. */
export function deriveRepositoryKeys(
  config: Pick<RepositoryConfig, 'id' | 'crypto' | 'secret'>,
): RepositoryKeys {
  const id = idBytes(config.id)
  const isEncrypted = config.crypto !== 'none'
  return {
    chunkId: deriveKey(config.secret, id, 'platter v1 chunk id'),
    nodeId: deriveKey(config.secret, id, 'platter v1 node id'),
    blockDigest: deriveKey(config.secret, id, 'platter v1 block digest'),
    cutTag: deriveKey(config.secret, id, 'platter v1 cut tag'),
    gearTable: deriveKey(config.secret, id, 'platter v1 gear table'),
    imageDigest: deriveKey(config.secret, id, 'platter v1 image digest'),
    pack: isEncrypted ? deriveKey(config.secret, id, 'platter v1 packs') : undefined,
    metadata: isEncrypted ? deriveMetadataKey(config.secret, config.id) : undefined,
  }
}

/** Derives the key of all records of an encrypted repository, which opens its config too. */
export function deriveMetadataKey(secret: Uint8Array, id: RepositoryId): Uint8Array {
  return deriveKey(secret, idBytes(id), 'platter v1 metadata')
}
