// The config of a repository, with and without encryption; key slots; what is given to open them.
import {
  encodeRecord,
  encryptedRecords,
  type KeySlotId,
  plainRecords,
  RECORD_TYPE,
  type RepositoryId,
} from '@platter/core'
import { assertChunkerConfig } from 'fast-cdc'
import { decodeConfig, encodeConfig, openConfig } from '../../../dist/config/config-record.js'
import {
  assertConfig,
  DEFAULT_CHUNKER,
  type RepositoryConfig,
} from '../../../dist/config/repository-config.js'
import { deriveMetadataKey } from '../../../dist/config/repository-keys.js'
import { keySlotName } from '../../../dist/format/object-names.js'
import { readCredential } from '../../../dist/keys/credential.js'
import { decodeKeySlot, sealKeySlot } from '../../../dist/keys/key-slot.js'
import { noise } from '../../adversity.ts'
import { assertStable, type FuzzTarget, sound } from '../target.ts'
import { FIXED_RANDOM, hexOf, joined, payloadOf, SESSION, textOf, textSeeds } from './fixtures.ts'

const CONFIG: RepositoryConfig = {
  id: SESSION as string as RepositoryId,
  crypto: 'none',
  chunker: DEFAULT_CHUNKER,
  regionBytes: 64 * 1024 * 1024,
  packBytes: 32 * 1024 * 1024,
  secret: noise('secret', 32),
}
const SEALED: RepositoryConfig = { ...CONFIG, crypto: 'aes-256-gcm' }
const CONFIG_CODES = ['ERR_CORRUPT_CONFIG', 'ERR_UNSUPPORTED_VERSION', 'ERR_UNSUPPORTED_FEATURE'] as const

const stored = (payload: Uint8Array): Uint8Array =>
  joined(plainRecords.seal(RECORD_TYPE.config, 'config', payload))

const config: FuzzTarget = {
  name: 'config',
  form: 'messagepack',
  seeds: [CONFIG, SEALED].map((each) =>
    payloadOf(RECORD_TYPE.config, 'config', encodeConfig(each, FIXED_RANDOM)),
  ),
  codes: CONFIG_CODES,
  run(input) {
    const decoded = decodeConfig(stored(input))
    if ('sealed' in decoded) openConfig(decoded, SEALED.secret)
    else assertUsable(decoded)
  },
}

const metadata = deriveMetadataKey(SEALED.secret, SEALED.id)

/** Input: what stands in the sealed part. */
const sealedConfig: FuzzTarget = {
  name: 'config-sealed',
  form: 'messagepack',
  seeds: [
    encodeRecord({
      version: 1,
      id: Buffer.from(SEALED.id, 'hex'),
      crypto: SEALED.crypto,
      chunker: { ...SEALED.chunker },
      regionBytes: SEALED.regionBytes,
      packBytes: SEALED.packBytes,
      requiredFeatures: [],
      optionalFeatures: [],
    }),
  ],
  codes: CONFIG_CODES,
  run(input) {
    const records = encryptedRecords(metadata, FIXED_RANDOM)
    const { id, crypto } = SEALED
    const part = joined(records.seal(RECORD_TYPE.config, 'config', input))
    assertUsable(openConfig({ id, crypto: crypto as 'aes-256-gcm', sealed: part }, SEALED.secret))
  },
}

/** What is read can be used, and written again. */
function assertUsable(decoded: RepositoryConfig): void {
  assertConfig(decoded)
  if (decoded.crypto !== 'none') return
  assertStable<unknown>(decoded, () => decodeConfig(joined(encodeConfig(decoded, FIXED_RANDOM))))
}

const SLOT = hexOf('slot', 16) as KeySlotId
const slotOf = async (kind: 'scrypt' | 'key-file'): Promise<Uint8Array> => {
  const derivation = kind === 'scrypt' ? { kind, parameters: { N: 2 ** 14, r: 8, p: 1 } } : { kind }
  const slot = { id: SLOT, repository: CONFIG.id, derivation, label: 'mine', created: '2026-11-25T07:00:00Z' }
  const credential = { kind: kind === 'scrypt' ? 'passphrase' : 'key-file', bytes: noise('key', 32) } as const
  const parts = await sealKeySlot(slot, CONFIG.secret, credential, FIXED_RANDOM)
  return payloadOf(RECORD_TYPE.keySlot, keySlotName(SLOT), parts)
}

const keySlot: FuzzTarget = {
  name: 'key-slot',
  form: 'messagepack',
  seeds: [await slotOf('scrypt'), await slotOf('key-file')],
  codes: ['ERR_CORRUPT_KEY_SLOT', 'ERR_KEY_SLOT_PARAMETERS', 'ERR_UNSUPPORTED_VERSION'],
  run(input) {
    const bytes = joined(plainRecords.seal(RECORD_TYPE.keySlot, keySlotName(SLOT), input))
    const { derivation, salt, nonce, wrapped, commitment } = decodeKeySlot(SLOT, CONFIG.id, bytes)
    const lengths = [salt, nonce, wrapped, commitment].map(({ length }) => length)
    sound(lengths.join() === '32,12,48,32', 'a key slot has fields of other lengths')
    if (derivation.kind !== 'scrypt') return
    const { N, r, p } = derivation.parameters
    sound(128 * N * r <= 2 ** 30 && p <= 4 && Number.isInteger(Math.log2(N)), 'scrypt would take too much')
  },
}

const credential: FuzzTarget = {
  name: 'credential',
  form: 'text',
  seeds: textSeeds('the words only you know', 'Ångström ﬁ', '\u0000', 'x'.repeat(64)),
  codes: ['ERR_INVALID_ARGUMENT'],
  async run(input) {
    const text = textOf(input)
    const { bytes } = await readCredential({ passphrase: text })
    const again = await readCredential({ passphrase: () => text.normalize('NFD') })
    sound(Buffer.compare(bytes, again.bytes) === 0, 'one text in two forms is two passphrases')
    const { bytes: key } = await readCredential({ keyFile: input })
    sound(Buffer.compare(key, input) === 0 && key.length >= 32, 'a key file is taken for another')
  },
}

/** Input: kind, three sizes of chunks, size of a region and of a pack. */
const chunker: FuzzTarget = {
  name: 'chunker-settings',
  form: 'text',
  seeds: textSeeds(
    'aligned,65536,262144,1048576,67108864,33554432',
    'fastcdc,512,513,16777215,65536,65536',
    'fixed,4096,4096,4096,268435456,134217728',
  ),
  codes: ['ERR_INVALID_ARGUMENT'],
  run(input) {
    const [kind, ...numbers] = textOf(input).split(',')
    const [minBytes, averageBytes, maxBytes, regionBytes, packBytes] = numbers.map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ]
    const settings = { kind: kind as 'aligned', minBytes, averageBytes, maxBytes }
    assertConfig({ ...CONFIG, chunker: settings, regionBytes, packBytes })
    sound(isChunkable(settings), 'a config is taken that no chunker can follow')
  },
}

function isChunkable(settings: RepositoryConfig['chunker']): boolean {
  try {
    assertChunkerConfig(settings)
    return true
  } catch {
    return false
  }
}

export const CONFIG_TARGETS: readonly FuzzTarget[] = [config, sealedConfig, keySlot, credential, chunker]
