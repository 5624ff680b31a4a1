// No nonce is ever used twice with one key: recorded over a million seals of the real code, down to the call of the
// cipher. And the record would notice one that is.
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import {
  CODEC,
  encryptedRecords,
  newKeySlotId,
  newRepositoryId,
  RECORD_TYPE,
  systemRandom,
} from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { test } from 'tap'
import { BLOB_TYPE } from '../dist/format/blob-entry.js'
import { type PackCipher, packCipher } from '../dist/format/pack-cipher.js'
import { packFileBytes } from '../dist/format/pack-file.js'
import { sealKeySlot } from '../dist/keys/key-slot.js'
import { PackAssembler } from '../dist/pack/pack-assembler.js'
import { backUp, diskImage, ENCRYPTED, newRepository } from './adversity.ts'

/** Which key was used with which nonce, while a cipher that does nothing stands in for AES. */
class SealRecord {
  readonly #used = new Set<string>()
  seals = 0
  repeated = 0

  note(key: Uint8Array, nonce: Uint8Array): void {
    this.seals++
    const pair = `${Buffer.from(key).toString('latin1')}${Buffer.from(nonce).toString('latin1')}`
    if (this.#used.has(pair)) this.repeated++
    this.#used.add(pair)
  }
}

/** Records all AES-GCM seals that `work` makes; with `real` they are made as well. */
async function recorded(work: () => unknown, real = false): Promise<SealRecord> {
  const record = new SealRecord()
  const original = crypto.createCipheriv
  const tag = Buffer.alloc(16)
  const idle = { setAAD() {}, update: (bytes: Uint8Array) => bytes, final() {}, getAuthTag: () => tag }
  const replacement = (algorithm: string, key: Uint8Array, nonce: Uint8Array, options: object): unknown => {
    if (!algorithm.endsWith('gcm')) return Reflect.apply(original, crypto, [algorithm, key, nonce, options])
    record.note(key, nonce)
    return real ? Reflect.apply(original, crypto, [algorithm, key, nonce, options]) : idle
  }
  crypto.createCipheriv = replacement as typeof crypto.createCipheriv
  syncBuiltinESMExports()
  try {
    await work()
  } finally {
    crypto.createCipheriv = original
    syncBuiltinESMExports()
  }
  return record
}

const KEY = systemRandom(32)
const ID = systemRandom(32)
const BLOB = new Uint8Array(1)

function fillPack(cipher: PackCipher, blobs: number): void {
  const bytes = packFileBytes(blobs * 17, blobs, cipher.suite)
  const pack = new PackAssembler(new ArrayBuffer(bytes), cipher)
  for (let i = 0; i < blobs; i++) pack.append(ID, BLOB_TYPE.chunk, CODEC.none, BLOB, 1)
  pack.seal()
}

test('none repeated over a million seals', { timeout: 240_000 }, async (t) => {
  const records = encryptedRecords(KEY)
  const { seals, repeated } = await recorded(() => {
    // Blobs of one byte: the closest that offsets can ever be.
    for (let pack = 0; pack < 495; pack++) fillPack(packCipher(KEY, systemRandom(32)), 2000)
    for (let i = 0; i < 10_000; i++) records.seal(RECORD_TYPE.snapshot, 'snapshots/a', BLOB)
  })
  t.ok(seals >= 1_000_000, `${seals} seals`)
  t.equal(repeated, 0)
})

test('none repeated by backups and key slots, as they are made', { timeout: 60_000 }, async (t) => {
  const { seals, repeated } = await recorded(async () => {
    const store = new MemoryStore()
    const repo = await newRepository(store, ENCRYPTED)
    for (const seed of ['a', 'b', 'c', 'a']) await backUp(repo, diskImage(seed))
    await repo.keys.add({ keyFile: systemRandom(32) })
    const slot = { id: newKeySlotId(), repository: newRepositoryId(), label: '', created: '' }
    for (let i = 0; i < 50; i++) {
      const credential = { kind: 'key-file', bytes: KEY } as const
      await sealKeySlot({ ...slot, derivation: { kind: 'key-file' } }, KEY, credential, systemRandom)
    }
  }, true)
  t.ok(seals > 100, `${seals} seals`)
  t.equal(repeated, 0)
})

test('a mutant that repeats one is caught', { timeout: 60_000 }, async (t) => {
  const salt = systemRandom(32)
  const sameSalt = await recorded(() => {
    for (let pack = 0; pack < 2; pack++) fillPack(packCipher(KEY, salt), 10)
  })
  t.equal(sameSalt.repeated, 13, 'two packs under one salt: ten blobs, padding, directory, trailer')

  const noOffset = await recorded(() => {
    const cipher = packCipher(KEY, systemRandom(32))
    const mutant: PackCipher = {
      suite: cipher.suite,
      salt: cipher.salt,
      sealBlob: (file, entry, stored) => cipher.sealBlob(file, { ...entry, offset: 64 }, stored),
      openBlob: (...args) => cipher.openBlob(...args),
      sealPart: (...args) => cipher.sealPart(...args),
      openPart: (...args) => cipher.openPart(...args),
    }
    fillPack(mutant, 10)
  })
  t.equal(noOffset.repeated, 9, 'a nonce that does not move on')

  const records = encryptedRecords(KEY, () => salt)
  const oneKey = await recorded(() => {
    for (let i = 0; i < 5; i++) records.seal(RECORD_TYPE.snapshot, 'snapshots/a', BLOB)
  })
  t.equal(oneKey.repeated, 4, 'records under one salt')
})
