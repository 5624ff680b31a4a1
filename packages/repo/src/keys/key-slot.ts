import { timingSafeEqual } from 'node:crypto'
import {
  AES_GCM_NONCE_BYTES,
  AES_GCM_TAG_BYTES,
  AES_KEY_BYTES,
  deriveKey,
  encodeRecord,
  HASH_BYTES,
  idBytes,
  type KeySlotId,
  openAesGcm,
  PlatterError,
  plainRecords,
  RANDOM_ID_BYTES,
  type RandomSource,
  RECORD_TYPE,
  RecordReader,
  type RepositoryId,
  sealAesGcm,
} from '@platter/core'
import { MAX_KEY_LABEL_LENGTH, MAX_KEY_SLOT_BYTES } from '../format/limits.ts'
import { keySlotName } from '../format/object-names.ts'
import type { Credential } from './credential.ts'
import { isScryptInRange, SCRYPT_RANGE, type ScryptParameters, scrypt } from './scrypt.ts'

const VERSION = 1
const SALT_BYTES = 32
const WRAPPED_BYTES = AES_KEY_BYTES + AES_GCM_TAG_BYTES

/** How a slot's key is made from what opens it. */
export type SlotDerivation =
  | { readonly kind: 'scrypt'; readonly parameters: ScryptParameters }
  | { readonly kind: 'key-file' }

/** A key slot: the master key of a repository, encrypted with a passphrase or a key file. */
export interface KeySlot {
  readonly id: KeySlotId
  readonly derivation: SlotDerivation
  readonly label: string
  /** ISO 8601. */
  readonly created: string
  readonly salt: Uint8Array
  /** Fits one key only, so that no slot can be made that opens with two passphrases. */
  readonly commitment: Uint8Array
  readonly nonce: Uint8Array
  /** Master key, encrypted and authenticated. */
  readonly wrapped: Uint8Array
  /** Encoded form of all but commitment, nonce and wrapped key, as it is authenticated. */
  readonly header: Uint8Array
}

/** What a new slot is made of. */
export interface NewKeySlot {
  readonly id: KeySlotId
  readonly repository: RepositoryId
  readonly derivation: SlotDerivation
  readonly label: string
  readonly created: string
}

/** Wraps the master key for a credential. @throws ERR_KEY_SLOT_PARAMETERS */
export async function sealKeySlot(
  slot: NewKeySlot,
  master: Uint8Array,
  credential: Credential,
  random: RandomSource,
): Promise<Uint8Array[]> {
  const { id, repository, derivation, label, created } = slot
  const salt = random(SALT_BYTES)
  const kdf =
    derivation.kind === 'scrypt'
      ? { kind: derivation.kind, salt, ...derivation.parameters }
      : { kind: derivation.kind, salt }
  const header = encodeRecord({ version: VERSION, repository: idBytes(repository), kdf, label, created })
  const keys = await slotKeys(derivation, salt, credential)
  try {
    const { commitment } = keys
    const nonce = random(AES_GCM_NONCE_BYTES)
    const additionalData = slotData(id, repository, header, commitment)
    const wrapped = sealAesGcm({ key: keys.wrap, nonce, additionalData }, master)
    const payload = encodeRecord({ header, commitment, nonce, wrapped })
    return plainRecords.seal(RECORD_TYPE.keySlot, keySlotName(id), payload)
  } finally {
    keys.wrap.fill(0)
  }
}

/**
 * Reads a slot, and refuses what it would be unwise to try.
 *
 * @throws ERR_CORRUPT_KEY_SLOT when it is damaged or another repository's, ERR_KEY_SLOT_PARAMETERS,
 * ERR_UNSUPPORTED_VERSION
 */
export function decodeKeySlot(id: KeySlotId, repository: RepositoryId, bytes: Uint8Array): KeySlot {
  const name = keySlotName(id)
  try {
    const payload = plainRecords.open(RECORD_TYPE.keySlot, name, bytes)
    const record = RecordReader.decode(payload, `key slot ${id}`)
    const header = record.byteString('header', MAX_KEY_SLOT_BYTES)
    const fields = RecordReader.decode(header, `key slot ${id}`)
    assertVersion(fields.integer('version'), name)
    const owner = Buffer.from(fields.bytes('repository', RANDOM_ID_BYTES)).toString('hex')
    if (owner !== repository)
      throw new PlatterError('ERR_CORRUPT_KEY_SLOT', 'It belongs to another repository.')
    const kdf = fields.record('kdf')
    return {
      id,
      derivation: readDerivation(kdf, name),
      label: fields.string('label', MAX_KEY_LABEL_LENGTH),
      created: fields.string('created', 64),
      salt: kdf.bytes('salt', SALT_BYTES),
      commitment: record.bytes('commitment', HASH_BYTES),
      nonce: record.bytes('nonce', AES_GCM_NONCE_BYTES),
      wrapped: record.bytes('wrapped', WRAPPED_BYTES),
      header,
    }
  } catch (cause) {
    if (
      PlatterError.is(cause, 'ERR_KEY_SLOT_PARAMETERS') ||
      PlatterError.is(cause, 'ERR_UNSUPPORTED_VERSION')
    )
      throw cause
    throw corruptSlot(name, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

/**
 * Tries a credential on a slot.
 *
 * @returns the master key, or undefined when the slot is for another passphrase or key file.
 * @throws ERR_CORRUPT_KEY_SLOT when the credential fits, but the slot was altered.
 */
export async function openKeySlot(
  slot: KeySlot,
  repository: RepositoryId,
  credential: Credential,
): Promise<Uint8Array | undefined> {
  const keys = await slotKeys(slot.derivation, slot.salt, credential)
  try {
    if (!timingSafeEqual(keys.commitment, slot.commitment)) return undefined
    const additionalData = slotData(slot.id, repository, slot.header, slot.commitment)
    const master = openAesGcm({ key: keys.wrap, nonce: slot.nonce, additionalData }, slot.wrapped)
    if (master === undefined)
      throw corruptSlot(keySlotName(slot.id), 'The passphrase or key file fits, but the slot was altered.')
    return master
  } finally {
    keys.wrap.fill(0)
  }
}

async function slotKeys(
  derivation: SlotDerivation,
  salt: Uint8Array,
  credential: Credential,
): Promise<{ readonly wrap: Uint8Array; readonly commitment: Uint8Array }> {
  const isStretched = derivation.kind === 'scrypt'
  const material = isStretched
    ? await scrypt(credential.bytes, salt, derivation.parameters)
    : credential.bytes
  try {
    return {
      wrap: deriveKey(material, salt, 'platter v1 slot wrap'),
      commitment: deriveKey(material, salt, 'platter v1 slot commitment'),
    }
  } finally {
    if (isStretched) material.fill(0)
  }
}

/** Length of the name (1), name, repository id, commitment, header. */
function slotData(
  id: KeySlotId,
  repository: RepositoryId,
  header: Uint8Array,
  commitment: Uint8Array,
): Uint8Array {
  const name = Buffer.from(keySlotName(id), 'ascii')
  return Buffer.concat([Uint8Array.of(name.length), name, idBytes(repository), commitment, header])
}

function readDerivation(kdf: RecordReader, name: string): SlotDerivation {
  const kind = kdf.string('kind')
  if (kind === 'key-file') return { kind }
  if (kind !== 'scrypt') throw laterSlot(name)
  const parameters = { N: kdf.integer('N'), r: kdf.integer('r'), p: kdf.integer('p') }
  if (!isScryptInRange(parameters)) {
    const { N, r, p } = parameters
    throw new PlatterError(
      'ERR_KEY_SLOT_PARAMETERS',
      `The key slot ${name} asks for scrypt with N = ${N}, r = ${r}, p = ${p}; allowed is ${SCRYPT_RANGE}. It was not tried.`,
      { object: name },
    )
  }
  return { kind, parameters }
}

function assertVersion(version: number, name: string): void {
  if (version !== VERSION) throw laterSlot(name)
}

function laterSlot(name: string): PlatterError {
  return new PlatterError(
    'ERR_UNSUPPORTED_VERSION',
    `The key slot ${name} was written by a later version of Platter; use that version or a newer one.`,
    { object: name },
  )
}

function corruptSlot(name: string, why: string, cause?: unknown): PlatterError {
  return new PlatterError('ERR_CORRUPT_KEY_SLOT', `The key slot ${name} cannot be used: ${why}`, {
    object: name,
    cause,
  })
}
