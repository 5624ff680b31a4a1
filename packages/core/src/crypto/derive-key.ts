import { hkdfSync } from 'node:crypto'

/** What a derived key is for. The text goes into the derivation, so no two purposes share a key. */
export type KeyPurpose =
  // from the master secret, with the repository id as salt
  | 'platter v1 chunk id'
  | 'platter v1 node id'
  | 'platter v1 block digest'
  | 'platter v1 cut tag'
  | 'platter v1 gear table'
  | 'platter v1 image digest'
  | 'platter v1 packs'
  | 'platter v1 metadata'
  // from the keys of packs and metadata, with the object's own salt
  | 'platter v1 one pack'
  | 'platter v1 one record'
  // from what opens a key slot, with the slot's salt
  | 'platter v1 slot wrap'
  | 'platter v1 slot commitment'

/**
 * Derives a 32-byte key for one purpose from other key material: HKDF-SHA256 (RFC 5869) with the purpose as info.
 *
 * @param salt the repository's id, or the salt of one object.
 */
export function deriveKey(material: Uint8Array, salt: Uint8Array, purpose: KeyPurpose): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', material, salt, purpose, 32))
}
