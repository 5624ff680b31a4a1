import {
  encodeRecord,
  encryptedRecords,
  HASH_BYTES,
  idBytes,
  PlatterError,
  parseRepositoryId,
  plainRecords,
  RANDOM_ID_BYTES,
  type RandomSource,
  RECORD_TYPE,
  RecordReader,
  type RecordValue,
  type RepositoryId,
  SUITE,
  type SuiteName,
} from '@platter/core'
import { MAX_RECORD_BYTES } from '../format/limits.ts'
import { CONFIG_NAME } from '../format/object-names.ts'
import { assertConfig, type ChunkerSettings, type RepositoryConfig } from './repository-config.ts'
import { deriveMetadataKey } from './repository-keys.ts'

/** Version of the repository format this library writes. */
export const FORMAT_VERSION = 1

const MAX_FEATURES = 64

/** Config of an encrypted repository, as far as it can be read without the master key. */
export interface EncryptedConfig {
  readonly id: RepositoryId
  readonly crypto: 'aes-256-gcm'
  /** A sealed record with the rest. */
  readonly sealed: Uint8Array
}

/** Encodes the config object. The secret of an encrypted repository is not in it. */
export function encodeConfig(config: RepositoryConfig, random: RandomSource): Uint8Array[] {
  const head = { version: FORMAT_VERSION, id: idBytes(config.id), crypto: config.crypto }
  const features = { requiredFeatures: [] }
  const rest = {
    chunker: { ...config.chunker },
    regionBytes: config.regionBytes,
    packBytes: config.packBytes,
    ...features,
    optionalFeatures: [],
  }
  // What is readable is repeated in the sealed part, which nobody without the key can make.
  const fields: RecordValue =
    config.crypto === 'none'
      ? { ...head, secret: config.secret, ...rest }
      : { ...head, ...features, sealed: sealedConfig(config, { ...head, ...rest }, random) }
  return plainRecords.seal(RECORD_TYPE.config, CONFIG_NAME, encodeRecord(fields))
}

function sealedConfig(
  { id, secret }: Pick<RepositoryConfig, 'id' | 'secret'>,
  fields: RecordValue,
  random: RandomSource,
): Uint8Array {
  const metadata = deriveMetadataKey(secret, id)
  const records = encryptedRecords(metadata, random)
  const parts = records.seal(RECORD_TYPE.config, CONFIG_NAME, encodeRecord(fields))
  metadata.fill(0)
  return Buffer.concat(parts)
}

/**
 * Reads the config object; of an encrypted repository what can be read, the rest is for {@link openConfig}.
 *
 * @throws ERR_CORRUPT_CONFIG, ERR_UNSUPPORTED_VERSION, ERR_UNSUPPORTED_FEATURE
 */
export function decodeConfig(bytes: Uint8Array): RepositoryConfig | EncryptedConfig {
  return reading(() => {
    const payload = plainRecords.open(RECORD_TYPE.config, CONFIG_NAME, bytes)
    const record = RecordReader.decode(payload, 'repository config')
    const { id, crypto } = readHead(record)
    if (crypto === 'none') return readRest(record, id, crypto, record.bytes('secret', HASH_BYTES))
    return { id, crypto, sealed: record.byteString('sealed', MAX_RECORD_BYTES) }
  })
}

/**
 * Opens the config of an encrypted repository.
 *
 * @param secret the master key, from a key slot.
 * @throws ERR_CORRUPT_CONFIG, ERR_UNSUPPORTED_VERSION, ERR_UNSUPPORTED_FEATURE
 */
export function openConfig(config: EncryptedConfig, secret: Uint8Array): RepositoryConfig {
  const metadata = deriveMetadataKey(secret, config.id)
  return reading(() => {
    const payload = encryptedRecords(metadata).open(RECORD_TYPE.config, CONFIG_NAME, config.sealed)
    metadata.fill(0)
    const record = RecordReader.decode(payload, 'sealed part of the repository config')
    const { id, crypto } = readHead(record)
    if (id !== config.id || crypto !== config.crypto)
      throw new PlatterError('ERR_CORRUPT_CONFIG', 'Its readable part does not fit its sealed part.')
    return readRest(record, id, crypto, secret)
  })
}

function reading<Result>(read: () => Result): Result {
  try {
    return read()
  } catch (cause) {
    if (
      PlatterError.is(cause, 'ERR_UNSUPPORTED_VERSION') ||
      PlatterError.is(cause, 'ERR_UNSUPPORTED_FEATURE')
    )
      throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new PlatterError(
      'ERR_CORRUPT_CONFIG',
      `The repository's config is damaged (${why}) Put a copy of the object '${CONFIG_NAME}' back; without it nothing can be read.`,
      { object: CONFIG_NAME, cause },
    )
  }
}

/** What a program must understand before it looks at anything else. */
function readHead(record: RecordReader): { readonly id: RepositoryId; readonly crypto: SuiteName } {
  const version = record.integer('version')
  if (version !== FORMAT_VERSION) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_VERSION',
      `The repository has format version ${version}; this program knows version ${FORMAT_VERSION}. Use a newer Platter.`,
      { object: CONFIG_NAME, expected: FORMAT_VERSION, actual: version },
    )
  }
  const features = record.strings('requiredFeatures', MAX_FEATURES)
  const crypto = record.string('crypto')
  const isKnown = Object.hasOwn(SUITE, crypto)
  if (features.length > 0 || !isKnown) {
    const unknown = [...features, ...(isKnown ? [] : [`crypto '${crypto}'`])].join(', ')
    throw new PlatterError(
      'ERR_UNSUPPORTED_FEATURE',
      `The repository needs features this program lacks: ${unknown}. Use a newer Platter.`,
      { object: CONFIG_NAME },
    )
  }
  const id = parseRepositoryId(Buffer.from(record.bytes('id', RANDOM_ID_BYTES)).toString('hex'))
  return { id, crypto: crypto as SuiteName }
}

function readRest(
  record: RecordReader,
  id: RepositoryId,
  crypto: SuiteName,
  secret: Uint8Array,
): RepositoryConfig {
  const chunker = record.record('chunker')
  const config: RepositoryConfig = {
    id,
    crypto,
    chunker: {
      kind: chunker.string('kind') as ChunkerSettings['kind'],
      minBytes: chunker.integer('minBytes'),
      averageBytes: chunker.integer('averageBytes'),
      maxBytes: chunker.integer('maxBytes'),
    },
    regionBytes: record.integer('regionBytes'),
    packBytes: record.integer('packBytes'),
    secret,
  }
  assertConfig(config)
  return config
}
