import { createRequire } from 'node:module'
import { blake3 as nobleBlake3 } from '@noble/hashes/blake3.js'
import { HASH_BYTES } from '../ids.ts'

/** Computes BLAKE3-256 of many byte strings under one key (or none). Not shared between threads. */
export interface Hasher {
  /** BLAKE3-256 of one byte string: 32 bytes of their own. */
  hash(bytes: Uint8Array): Uint8Array
  /** BLAKE3-256 of the parts, one after the other. */
  hashParts(parts: readonly Uint8Array[]): Uint8Array
}

/** 'native' is about two hundred times as fast; 'portable' runs everywhere and is the reference in tests. */
export type HashImplementation = 'native' | 'portable'

let nativeModule: NativeModule | undefined | null = null

/** The prebuilt native module, or undefined on a platform it was not built for. */
function loadNative(): NativeModule | undefined {
  if (nativeModule === null) {
    try {
      nativeModule = createRequire(import.meta.url)('@napi-rs/blake-hash') as NativeModule
    } catch {
      nativeModule = undefined
    }
  }
  return nativeModule
}

/** What {@link createHasher} uses when it is not told. */
export const defaultHashImplementation: HashImplementation =
  loadNative() === undefined ? 'portable' : 'native'

/**
 * Makes a BLAKE3-256 hasher; keyed when `key` (32 bytes) is given.
 *
 * Source: BLAKE3 paper (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020), modes hash and keyed_hash.
 */
export function createHasher(
  key?: Uint8Array,
  implementation: HashImplementation = defaultHashImplementation,
): Hasher {
  if (key !== undefined && key.length !== HASH_BYTES) throw new RangeError('A BLAKE3 key has 32 bytes.')
  const native = implementation === 'native' ? loadNative() : undefined
  return native === undefined ? portableHasher(key) : nativeHasher(native, key)
}

interface NativeHasher {
  update(bytes: Uint8Array): unknown
  digestBuffer(): Uint8Array
  reset(): void
}

interface NativeModule {
  readonly Blake3Hasher: { new (): NativeHasher; newKeyed(key: Uint8Array): NativeHasher }
}

function nativeHasher(native: NativeModule, key: Uint8Array | undefined): Hasher {
  const state = key === undefined ? new native.Blake3Hasher() : native.Blake3Hasher.newKeyed(Buffer.from(key))
  return {
    // One native state serves all calls: making one costs as much as hashing some kilobytes.
    hash(bytes) {
      state.reset()
      state.update(bytes)
      return state.digestBuffer()
    },
    hashParts(parts) {
      state.reset()
      for (const part of parts) state.update(part)
      return state.digestBuffer()
    },
  }
}

function portableHasher(key: Uint8Array | undefined): Hasher {
  const options = key === undefined ? {} : { key: new Uint8Array(key) }
  return {
    hash: (bytes) => nobleBlake3(bytes, options),
    hashParts(parts) {
      const state = nobleBlake3.create(options)
      for (const part of parts) state.update(part)
      return state.digest()
    },
  }
}
