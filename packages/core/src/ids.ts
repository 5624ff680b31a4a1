import { randomBytes } from 'node:crypto'
import { PlatterError } from './errors.ts'

declare const brand: unique symbol

/** 64 lower-case hex digits: keyed BLAKE3-256 of a chunk's plaintext. */
export type ChunkId = string & { readonly [brand]: 'ChunkId' }
/** 64 lower-case hex digits: keyed BLAKE3-256 of a tree node's encoding, under a key of its own. */
export type NodeId = string & { readonly [brand]: 'NodeId' }
/** 64 lower-case hex digits: BLAKE3-256 of a pack file's bytes. */
export type PackId = string & { readonly [brand]: 'PackId' }
/** 32 lower-case hex digits, random: names one run of a writer, and the snapshot it commits. */
export type SessionId = string & { readonly [brand]: 'SessionId' }
/** A snapshot is named by the session that committed it. */
export type SnapshotId = SessionId
/** 32 lower-case hex digits, random: names a repository. */
export type RepositoryId = string & { readonly [brand]: 'RepositoryId' }

/** 32 lower-case hex digits, random: names a key slot of an encrypted repository. */
export type KeySlotId = string & { readonly [brand]: 'KeySlotId' }

/** Length in bytes of the ids that are hashes. */
export const HASH_BYTES = 32
/** Length in bytes of the ids that are random. */
export const RANDOM_ID_BYTES = 16

const HEX_64 = /^[0-9a-f]{64}$/
const HEX_32 = /^[0-9a-f]{32}$/

/** Hex form of a 32-byte hash as the id of a chunk. */
export function chunkIdFrom(bytes: Uint8Array): ChunkId {
  return hex(bytes, HASH_BYTES) as ChunkId
}

/** Hex form of a 32-byte hash as the id of a tree node. */
export function nodeIdFrom(bytes: Uint8Array): NodeId {
  return hex(bytes, HASH_BYTES) as NodeId
}

/** Hex form of a 32-byte hash as the id of a pack. */
export function packIdFrom(bytes: Uint8Array): PackId {
  return hex(bytes, HASH_BYTES) as PackId
}

/** @throws ERR_INVALID_ARGUMENT when `text` is no pack id. */
export function parsePackId(text: string): PackId {
  return parse(text, HEX_64, 'pack id') as PackId
}

/** @throws ERR_INVALID_ARGUMENT when `text` is no session id. */
export function parseSessionId(text: string): SessionId {
  return parse(text, HEX_32, 'session id') as SessionId
}

/** @throws ERR_INVALID_ARGUMENT when `text` is no repository id. */
export function parseRepositoryId(text: string): RepositoryId {
  return parse(text, HEX_32, 'repository id') as RepositoryId
}

/** @throws ERR_INVALID_ARGUMENT when `text` is no key slot id. */
export function parseKeySlotId(text: string): KeySlotId {
  return parse(text, HEX_32, 'key slot id') as KeySlotId
}

/** A new session id from the system's random generator; never reused. */
export function newSessionId(random: RandomSource = systemRandom): SessionId {
  return hex(random(RANDOM_ID_BYTES), RANDOM_ID_BYTES) as SessionId
}

/** A new repository id. */
export function newRepositoryId(random: RandomSource = systemRandom): RepositoryId {
  return hex(random(RANDOM_ID_BYTES), RANDOM_ID_BYTES) as RepositoryId
}

/** A new key slot id. */
export function newKeySlotId(random: RandomSource = systemRandom): KeySlotId {
  return hex(random(RANDOM_ID_BYTES), RANDOM_ID_BYTES) as KeySlotId
}

/** Gives `length` unpredictable bytes; injected, so that tests and simulations can repeat a run. */
export type RandomSource = (length: number) => Uint8Array

/** The system's cryptographic random generator. */
export const systemRandom: RandomSource = (length) => new Uint8Array(randomBytes(length))

/** Bytes of a hexadecimal id. */
export function idBytes(id: ChunkId | NodeId | PackId | SessionId | RepositoryId): Uint8Array {
  return new Uint8Array(Buffer.from(id, 'hex'))
}

function hex(bytes: Uint8Array, length: number): string {
  if (bytes.length !== length) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `An id of ${length} bytes was expected, not ${bytes.length}.`,
    )
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

function parse(text: string, form: RegExp, what: string): string {
  if (!form.test(text)) throw new PlatterError('ERR_INVALID_ARGUMENT', `'${text}' is not a ${what}.`)
  return text
}
