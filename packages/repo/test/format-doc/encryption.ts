// Sections 3, 6, 8 and 16 of docs/format.md, as far as they are about encryption.
import assert from 'node:assert/strict'
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, scryptSync } from 'node:crypto'
import { messagePack } from './libraries.ts'
import { openPlain, same, sealPlain, u32 } from './primitives.ts'

export function hkdf(material: Uint8Array, salt: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', material, salt, purpose, 32))
}

/** AES-256-GCM: ciphertext and tag. */
export function encrypted(key: Uint8Array, nonce: Uint8Array, data: Uint8Array, plain: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(data)
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

export function decrypted(key: Uint8Array, nonce: Uint8Array, data: Uint8Array, sealed: Uint8Array): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 }).setAAD(data)
  decipher.setAuthTag(sealed.subarray(-16))
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()])
}

/** Section 3: how records are sealed; `metadata` is the key of an encrypted repository. */
export class Records {
  readonly metadata: Uint8Array | undefined

  constructor(metadata: Uint8Array | undefined) {
    this.metadata = metadata
  }

  open(name: string, type: number, bytes: Uint8Array): Buffer {
    if (this.metadata === undefined) return openPlain(name, type, bytes)
    const record = Buffer.from(bytes)
    assert.equal(record.toString('latin1', 0, 4), 'PLTR')
    const [header, salt] = [record.subarray(0, 16), record.subarray(16, 48)]
    const key = hkdf(this.metadata, salt, 'platter v1 one record')
    const plain = decrypted(key, Buffer.alloc(12), recordData(header, salt, name), record.subarray(48))
    assert.deepEqual([record[4], record[5], record[6]], [1, type, 1], 'version, type and suite')
    assert.equal(record.readUInt32LE(8), plain.length)
    const end = 4 + plain.readUInt32LE(0)
    assert.ok(end <= plain.length)
    assert.ok(plain.subarray(end).every((byte) => byte === 0))
    assert.ok(record.length === 256 || (end + 64 > 256 && record.length % 1024 === 0), 'filled up')
    return plain.subarray(4, end)
  }

  seal(name: string, type: number, payload: Uint8Array): Buffer {
    if (this.metadata === undefined) return sealPlain(name, type, payload)
    // Filled up to another length than Platter's own.
    const plain = Buffer.concat([u32(payload.length), payload, Buffer.alloc(payload.length % 32)])
    const header = Buffer.from([0x50, 0x4c, 0x54, 0x52, 1, type, 1, 0, ...u32(plain.length), 0, 0, 0, 0])
    const salt = randomBytes(32)
    const key = hkdf(this.metadata, salt, 'platter v1 one record')
    const sealed = encrypted(key, Buffer.alloc(12), recordData(header, salt, name), plain)
    return Buffer.concat([header, salt, sealed])
  }
}

function recordData(header: Uint8Array, salt: Uint8Array, name: string): Buffer {
  return Buffer.concat([header, salt, Buffer.of(name.length), Buffer.from(name, 'ascii')])
}

/** Section 8: what is in one pack. */
export class PackSeal {
  readonly #key: Uint8Array
  readonly #salt: Uint8Array

  constructor(packs: Uint8Array, salt: Uint8Array) {
    this.#key = hkdf(packs, salt, 'platter v1 one pack')
    this.#salt = salt
  }

  /** @param entry the 48 bytes of the blob's directory entry. */
  openBlob(entry: Uint8Array, sealed: Uint8Array): Buffer {
    return decrypted(this.#key, nonceAt(Buffer.from(entry).readUInt32LE(32)), this.#blobData(entry), sealed)
  }

  sealBlob(entry: Uint8Array, stored: Uint8Array): Buffer {
    return encrypted(this.#key, nonceAt(Buffer.from(entry).readUInt32LE(32)), this.#blobData(entry), stored)
  }

  /** @param around the header, and for the directory the fields of the trailer too. */
  openPart(label: PartLabel, offset: number, sealed: Uint8Array, ...around: Uint8Array[]): Buffer {
    return decrypted(this.#key, nonceAt(offset), partData(label, around), sealed)
  }

  sealPart(label: PartLabel, offset: number, plain: Uint8Array, ...around: Uint8Array[]): Buffer {
    return encrypted(this.#key, nonceAt(offset), partData(label, around), plain)
  }

  #blobData(entry: Uint8Array): Buffer {
    const [codec, type] = [entry[44]!, entry[45]!]
    return Buffer.concat([
      Buffer.from('PLTRBLOB', 'latin1'),
      Buffer.of(1, 1, type, codec),
      entry.subarray(32, 44),
      this.#salt,
      entry.subarray(0, 32),
    ])
  }
}

type PartLabel = 'PLTRPPAD' | 'PLTRPDIR' | 'PLTRPTRL'

function partData(label: PartLabel, around: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(label, 'latin1'), ...around])
}

function nonceAt(offset: number): Buffer {
  return Buffer.concat([u32(offset), Buffer.alloc(8)])
}

interface SlotRecord {
  readonly header: Uint8Array
  readonly commitment: Uint8Array
  readonly nonce: Uint8Array
  readonly wrapped: Uint8Array
}

interface SlotHeader {
  readonly version: number
  readonly repository: Uint8Array
  readonly kdf: { kind: string; salt: Uint8Array; N: number; r: number; p: number }
}

/** Section 16, key slots: the master key, or undefined when the passphrase is another. */
export function openSlot(
  name: string,
  repository: Uint8Array,
  bytes: Uint8Array,
  passphrase: string,
): Uint8Array | undefined {
  const slot = messagePack.unpack(openPlain(name, 7, bytes)) as SlotRecord
  const header = messagePack.unpack(slot.header) as SlotHeader
  assert.equal(header.version, 1)
  assert.ok(same(header.repository, repository))
  const { kind, salt, N, r, p } = header.kdf
  if (kind !== 'scrypt') return undefined
  const material = stretched(passphrase, salt, N, r, p)
  if (!same(hkdf(material, salt, 'platter v1 slot commitment'), slot.commitment)) return undefined
  const data = slotData(name, repository, slot.commitment, slot.header)
  return decrypted(hkdf(material, salt, 'platter v1 slot wrap'), slot.nonce, data, slot.wrapped)
}

export function sealSlot(
  name: string,
  repository: Uint8Array,
  master: Uint8Array,
  passphrase: string,
): Buffer {
  const salt = randomBytes(32)
  const [N, r, p] = [2 ** 14, 8, 1]
  const header = messagePack.pack({
    version: 1,
    repository,
    kdf: { kind: 'scrypt', salt, N, r, p },
    label: 'independent',
    created: '2026-11-22T14:31:07.250Z',
  })
  const material = stretched(passphrase, salt, N, r, p)
  const commitment = hkdf(material, salt, 'platter v1 slot commitment')
  const nonce = randomBytes(12)
  const data = slotData(name, repository, commitment, header)
  const wrapped = encrypted(hkdf(material, salt, 'platter v1 slot wrap'), nonce, data, master)
  return sealPlain(name, 7, messagePack.pack({ header, commitment, nonce, wrapped }))
}

function stretched(passphrase: string, salt: Uint8Array, N: number, r: number, p: number): Buffer {
  return scryptSync(passphrase.normalize('NFKC'), salt, 32, { N, r, p, maxmem: 2 ** 30 })
}

function slotData(
  name: string,
  repository: Uint8Array,
  commitment: Uint8Array,
  header: Uint8Array,
): Uint8Array {
  return Buffer.concat([Buffer.of(name.length), Buffer.from(name, 'ascii'), repository, commitment, header])
}
