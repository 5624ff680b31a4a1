// General libraries that any reader of the format needs, in any language: BLAKE3, MessagePack, LZ4. They are
// dependencies of @platter/core, so that is where they are looked up; nothing of Platter itself is loaded.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(new URL('../../../core/package.json', import.meta.url))

async function load(name: string): Promise<unknown> {
  return await import(pathToFileURL(require.resolve(name)).href)
}

interface Blake3Module {
  blake3(message: Uint8Array, options?: { key?: Uint8Array }): Uint8Array
}

interface MsgpackModule {
  Packr: new (options: {
    useRecords: false
    variableMapSize: true
    int64AsType: 'number'
  }) => { pack(value: unknown): Uint8Array; unpack(bytes: Uint8Array): unknown }
}

interface Lz4Module {
  /** Takes the plaintext's length, 4 bytes little-endian, and then the block. */
  uncompressSync(prefixed: Uint8Array): Uint8Array
}

export const { blake3 } = (await load('@noble/hashes/blake3.js')) as Blake3Module

const { Packr } = (await load('msgpackr')) as MsgpackModule
export const messagePack = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'number' })

export const { uncompressSync: lz4WithPrefix } = require('lz4-napi') as Lz4Module
