import {
  encodeRecord,
  HASH_BYTES,
  nodeIdFrom,
  PlatterError,
  parseSessionId,
  RECORD_TYPE,
  RecordReader,
  type RecordSealer,
  type SnapshotId,
} from '@platter/core'
import type { BackupStats } from '../api/backup-types.ts'
import type { Snapshot, Volume } from '../api/snapshot-types.ts'
import { diskRecord, readDisk } from './disk-record.ts'
import {
  MAX_BAD_RANGES,
  MAX_IMAGE_BYTES,
  MAX_LABEL_LENGTH,
  MAX_NAME_LENGTH,
  MAX_TAG_LENGTH,
  MAX_TAGS,
} from './limits.ts'
import { snapshotName } from './object-names.ts'

const VERSION = 1
const MAX_VOLUMES = 1024

/** Encodes the object whose creation commits a snapshot. */
export function encodeSnapshot(snapshot: Snapshot, records: RecordSealer): Uint8Array[] {
  const payload = encodeRecord({
    version: VERSION,
    requiredFeatures: [],
    name: snapshot.name,
    host: snapshot.host,
    time: snapshot.time,
    tags: [...snapshot.tags],
    parent: snapshot.parent ?? null,
    program: snapshot.program,
    volumes: snapshot.volumes.map((volume) => ({
      sizeBytes: volume.sizeBytes,
      root: volume.root === undefined ? null : Buffer.from(volume.root, 'hex'),
      imageDigest: Buffer.from(volume.imageDigest, 'hex'),
      source: { ...volume.source },
      badRanges: volume.badRanges.map(({ offset, length }) => [offset, length]),
      ...(volume.changedSince === undefined ? {} : { changedSince: volume.changedSince }),
      ...(volume.disk === undefined ? {} : { disk: diskRecord(volume.disk) }),
    })),
    stats: { ...snapshot.stats },
    ...(snapshot.checkpoint ? { checkpoint: true } : {}),
  })
  return records.seal(RECORD_TYPE.snapshot, snapshotName(snapshot.id), payload)
}

/** @throws ERR_CORRUPT_SNAPSHOT, ERR_UNSUPPORTED_VERSION, ERR_UNSUPPORTED_FEATURE */
export function decodeSnapshot(id: SnapshotId, bytes: Uint8Array, records: RecordSealer): Snapshot {
  const name = snapshotName(id)
  try {
    const record = RecordReader.decode(records.open(RECORD_TYPE.snapshot, name, bytes), `snapshot ${id}`)
    assertReadable(record, name)
    return readSnapshot(id, record)
  } catch (cause) {
    if (
      PlatterError.is(cause, 'ERR_UNSUPPORTED_VERSION') ||
      PlatterError.is(cause, 'ERR_UNSUPPORTED_FEATURE')
    )
      throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new PlatterError('ERR_CORRUPT_SNAPSHOT', `The snapshot ${id} cannot be read: ${why}`, {
      object: name,
      cause,
    })
  }
}

/** Whether what stands under a snapshot's name is the fence that keeps a dead session from committing. */
export function isFence(id: SnapshotId, bytes: Uint8Array, records: RecordSealer): boolean {
  try {
    records.open(RECORD_TYPE.fence, snapshotName(id), bytes)
    return true
  } catch {
    return false
  }
}

function assertReadable(record: RecordReader, name: string): void {
  const version = record.integer('version')
  if (version !== VERSION) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_VERSION',
      `The object ${name} has record version ${version}; use a newer Platter.`,
      {
        object: name,
        expected: VERSION,
        actual: version,
      },
    )
  }
  const features = record.strings('requiredFeatures', 64)
  if (features.length > 0) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_FEATURE',
      `The object ${name} needs features this program lacks: ${features.join(', ')}. Use a newer Platter.`,
      { object: name },
    )
  }
}

function readSnapshot(id: SnapshotId, record: RecordReader): Snapshot {
  const time = record.string('time')
  if (Number.isNaN(Date.parse(time))) throw new RangeError('its time is none.')
  const volumes = record.records('volumes', MAX_VOLUMES).map(readVolume)
  if (volumes.length === 0) throw new RangeError('it has no volume.')
  return {
    id,
    name: record.string('name', MAX_NAME_LENGTH),
    host: record.string('host'),
    time,
    tags: record.strings('tags', MAX_TAGS).filter((tag) => tag.length <= MAX_TAG_LENGTH),
    parent: record.isNull('parent') ? undefined : parseSessionId(record.string('parent')),
    program: record.string('program'),
    volumes,
    checkpoint: record.has('checkpoint') && record.boolean('checkpoint'),
    stats: readStats(record.record('stats')),
  }
}

function readVolume(volume: RecordReader): Volume {
  const source = volume.record('source')
  return {
    sizeBytes: volume.integer('sizeBytes', 0, MAX_IMAGE_BYTES),
    root: volume.isNull('root') ? undefined : nodeIdFrom(volume.bytes('root', HASH_BYTES)),
    imageDigest: Buffer.from(volume.bytes('imageDigest', HASH_BYTES)).toString('hex'),
    source: {
      kind: source.string('kind', MAX_LABEL_LENGTH),
      label: source.string('label', MAX_LABEL_LENGTH),
      logicalSectorBytes: source.integer('logicalSectorBytes', 1),
      physicalSectorBytes: source.integer('physicalSectorBytes', 1),
    },
    badRanges: volume.list('badRanges', MAX_BAD_RANGES).map((pair) => {
      const [offset, length] = Array.isArray(pair) ? pair : []
      if (!isWhole(offset) || !isWhole(length)) throw new RangeError('a bad range is none.')
      return { offset, length }
    }),
    ...(volume.has('changedSince') ? { changedSince: parseSessionId(volume.string('changedSince')) } : {}),
    ...(volume.has('disk') ? { disk: readDisk(volume.record('disk')) } : {}),
  }
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function readStats(stats: RecordReader): BackupStats {
  return {
    bytesTotal: stats.integer('bytesTotal'),
    bytesRead: stats.integer('bytesRead'),
    bytesHole: stats.integer('bytesHole'),
    bytesNew: stats.integer('bytesNew'),
    bytesStored: stats.integer('bytesStored'),
    chunksNew: stats.integer('chunksNew'),
    chunksKnown: stats.integer('chunksKnown'),
    ...(stats.has('bytesUnused') ? { bytesUnused: stats.integer('bytesUnused') } : {}),
    ...(stats.has('bytesReused') ? { bytesReused: stats.integer('bytesReused') } : {}),
    seconds: stats.number('seconds'),
  }
}
