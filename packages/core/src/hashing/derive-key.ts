import { hkdfSync } from 'node:crypto'

/** What a derived key is for. The text goes into the derivation, so no two purposes share a key. */
export type KeyPurpose =
  | 'platter v1 chunk id'
  | 'platter v1 node id'
  | 'platter v1 block digest'
  | 'platter v1 cut tag'
  | 'platter v1 gear table'
  | 'platter v1 image digest'

/**
 * Derives a 32-byte key for one purpose from a repository's master secret: HKDF-SHA256 (RFC 5869) with the
 * repository id as salt and the purpose as info.
 */
export function deriveKey(master: Uint8Array, repositoryId: Uint8Array, purpose: KeyPurpose): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', master, repositoryId, purpose, 32))
}
