import {
  encodeRecord,
  HASH_BYTES,
  idBytes,
  openRecord,
  PlatterError,
  parseRepositoryId,
  RANDOM_ID_BYTES,
  RECORD_TYPE,
  RecordReader,
  type RepositoryId,
  sealRecord,
} from '@platter/core'
import {
  BLOCK_BYTES,
  MAX_CHUNK_BYTES,
  MAX_NODE_BYTES,
  MAX_PACK_BYTES,
  MAX_REGION_BYTES,
  MIN_PACK_BYTES,
  MIN_REGION_BYTES,
} from '../format/limits.ts'
import { CONFIG_NAME } from '../format/object-names.ts'

/** How images are cut into chunks. All sizes in bytes; multiples of 4096 for the aligned chunker. */
export interface ChunkerSettings {
  /**
   * 'aligned' cuts at 4 KiB multiples and is right for disks; 'fastcdc' cuts at any byte and is right for streams
   * and archives; 'fixed' cuts all chunks to one size.
   */
  readonly kind: 'aligned' | 'fastcdc' | 'fixed'
  readonly minBytes: number
  readonly averageBytes: number
  readonly maxBytes: number
}

/** What a repository was created with; never changes. */
export interface RepositoryConfig {
  readonly id: RepositoryId
  readonly chunker: ChunkerSettings
  /** Part of an image that one leaf of a volume tree describes. */
  readonly regionBytes: number
  /** A pack is closed when its blobs reach this size. */
  readonly packBytes: number
  /**
   * 32 random bytes from which all keys are derived. In a repository without encryption they stand in the config
   * itself: they make ids and cuts differ from repository to repository, and keep nothing secret.
   */
  readonly secret: Uint8Array
}

/** Version of the repository format this library writes. */
export const FORMAT_VERSION = 1

/** What a chunk takes in a leaf: kind, span and id. */
const LEAF_BYTES_PER_CHUNK = 1 + 4 + HASH_BYTES

/** Checks what a caller asked for. @throws ERR_INVALID_ARGUMENT */
export function assertConfig(config: RepositoryConfig): void {
  const { minBytes, averageBytes, maxBytes, kind } = config.chunker
  const sizes = [minBytes, averageBytes, maxBytes]
  const wrong = (what: string): PlatterError => new PlatterError('ERR_INVALID_ARGUMENT', `${what}.`)
  if (!['aligned', 'fastcdc', 'fixed'].includes(kind)) throw wrong(`'${kind}' is not a chunker`)
  if (!sizes.every((n) => Number.isSafeInteger(n)) || minBytes > averageBytes || averageBytes > maxBytes) {
    throw wrong('Chunk sizes must be whole and ascend from minimum over average to maximum')
  }
  if (minBytes < 512 || maxBytes > MAX_CHUNK_BYTES)
    throw wrong(`Chunks must have 512 to ${MAX_CHUNK_BYTES} bytes`)
  if (kind === 'aligned' && sizes.some((n) => n % BLOCK_BYTES !== 0)) {
    throw wrong(`Sizes of the aligned chunker must be multiples of ${BLOCK_BYTES}`)
  }
  if (kind === 'fixed' && minBytes !== maxBytes) throw wrong('The fixed chunker has one size')
  const { regionBytes, packBytes } = config
  const regionFits =
    regionBytes >= MIN_REGION_BYTES && regionBytes <= MAX_REGION_BYTES && regionBytes % BLOCK_BYTES === 0
  if (!Number.isSafeInteger(regionBytes) || !regionFits) {
    throw wrong(
      `A region must have ${MIN_REGION_BYTES} to ${MAX_REGION_BYTES} bytes, a multiple of ${BLOCK_BYTES}`,
    )
  }
  if (Math.ceil(regionBytes / minBytes) * LEAF_BYTES_PER_CHUNK > MAX_NODE_BYTES / 2) {
    throw wrong(
      'Regions are too long for chunks so short: choose a larger smallest chunk or a shorter region',
    )
  }
  if (!Number.isSafeInteger(packBytes) || packBytes < MIN_PACK_BYTES || packBytes > MAX_PACK_BYTES) {
    throw wrong(`A pack must have ${MIN_PACK_BYTES} to ${MAX_PACK_BYTES} bytes`)
  }
}

/** Encodes the config object. */
export function encodeConfig(config: RepositoryConfig): Uint8Array[] {
  const payload = encodeRecord({
    version: FORMAT_VERSION,
    id: idBytes(config.id),
    crypto: 'none',
    secret: config.secret,
    chunker: { ...config.chunker },
    regionBytes: config.regionBytes,
    packBytes: config.packBytes,
    requiredFeatures: [],
    optionalFeatures: [],
  })
  return sealRecord(RECORD_TYPE.config, CONFIG_NAME, payload)
}

/** @throws ERR_CORRUPT_CONFIG, ERR_UNSUPPORTED_VERSION, ERR_UNSUPPORTED_FEATURE */
export function decodeConfig(bytes: Uint8Array): RepositoryConfig {
  try {
    return readConfig(
      RecordReader.decode(openRecord(RECORD_TYPE.config, CONFIG_NAME, bytes), 'repository config'),
    )
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

function readConfig(record: RecordReader): RepositoryConfig {
  const version = record.integer('version')
  if (version !== FORMAT_VERSION) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_VERSION',
      `The repository has format version ${version}; this program knows version ${FORMAT_VERSION}. Use a newer Platter.`,
      { object: CONFIG_NAME, expected: FORMAT_VERSION, actual: version },
    )
  }
  const features = record.strings('requiredFeatures', 64)
  const crypto = record.string('crypto')
  if (features.length > 0 || crypto !== 'none') {
    const unknown = [...features, ...(crypto === 'none' ? [] : [`crypto '${crypto}'`])].join(', ')
    throw new PlatterError(
      'ERR_UNSUPPORTED_FEATURE',
      `The repository needs features this program lacks: ${unknown}. Use a newer Platter.`,
      {
        object: CONFIG_NAME,
      },
    )
  }
  const chunker = record.record('chunker')
  const config: RepositoryConfig = {
    id: parseRepositoryId(Buffer.from(record.bytes('id', RANDOM_ID_BYTES)).toString('hex')),
    chunker: {
      kind: chunker.string('kind') as ChunkerSettings['kind'],
      minBytes: chunker.integer('minBytes'),
      averageBytes: chunker.integer('averageBytes'),
      maxBytes: chunker.integer('maxBytes'),
    },
    regionBytes: record.integer('regionBytes'),
    packBytes: record.integer('packBytes'),
    secret: record.bytes('secret', HASH_BYTES),
  }
  assertConfig(config)
  return config
}
