import { hostname } from 'node:os'
import {
  assertCanCompress,
  type BlockSource,
  type CodecName,
  PlatterError,
  type RandomSource,
  type RecordSealer,
  type WritableStore,
} from '@platter/core'
import type { BackupOptions } from '../api/backup-types.ts'
import type { Warning } from '../api/repository-types.ts'
import type { Snapshot } from '../api/snapshot-types.ts'
import type { RepositoryConfig } from '../config/repository-config.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { storableDisk } from '../format/disk-record.ts'
import {
  MAX_BAD_RANGES,
  MAX_IMAGE_BYTES,
  MAX_LABEL_LENGTH,
  MAX_NAME_LENGTH,
  MAX_TAG_LENGTH,
  MAX_TAGS,
} from '../format/limits.ts'
import { type Claims, loadClaims } from '../index/load-claims.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { PROGRAM } from '../program.ts'
import { isoWithOffset } from '../session/iso-time.ts'
import { workerCount } from '../workers/worker-pool.ts'
import { BackupRun, type EncodedImage } from './backup-run.ts'
import { BackupSessions } from './backup-sessions.ts'
import { openUnchanged, type Unchanged } from './changed-since.ts'

/** What a backup needs of an open repository. */
export interface BackupContext {
  readonly store: WritableStore
  readonly records: RecordSealer
  readonly config: RepositoryConfig
  readonly keys: RepositoryKeys
  readonly codec: CodecName
  /** One compressed blob in so many is decompressed again before it is stored. */
  readonly verifyOneIn: number
  readonly random: RandomSource
  readonly now: () => Date
  readonly findParent: (name: string) => Promise<Snapshot | undefined>
  /** The snapshot of an id, when it is there and not marked as damaged. */
  readonly findSound: (id: string) => Promise<Snapshot | undefined>
  readonly reader: () => Promise<BlobReader>
  readonly onWarning: (warning: Warning) => void
}

/** What encoding an image needs of it. */
export type EncodingContext = Omit<BackupContext, 'findParent' | 'findSound' | 'reader' | 'onWarning'>

/** Backs a source up and commits a snapshot; see `Repository.backup`. */
export async function backup(
  context: BackupContext,
  source: BlockSource,
  options: BackupOptions,
): Promise<Snapshot> {
  assertOptions(source, options)
  const disk = source.disk === undefined ? undefined : storableDisk(source.disk)
  assertCanCompress(context.codec)
  const workers = workerCount(options.workers)
  const started = performance.now()
  const time = isoWithOffset(context.now())
  const name = options.name ?? source.info.label
  const fenced = new AbortController()
  const signal = AbortSignal.any([
    options.signal ?? new AbortController().signal,
    // A session that was ended while the backup ran can only fail at its commit, hours later.
    fenced.signal,
  ])
  signal.throwIfAborted()
  const sessions = await BackupSessions.begin(context, options, signal, (error) => fenced.abort(error))
  try {
    const { chunker, regionBytes } = context.config
    const claims = await loadClaims(context, workers, chunker, regionBytes, signal)
    const parent = await context.findParent(name)
    const unchanged = await unchangedOf(context, source, options, claims, signal)
    const { label, kind, logicalSectorBytes, physicalSectorBytes } = source.info
    const describe = (image: EncodedImage, checkpoint: boolean): Snapshot => ({
      id: sessions.current.id,
      name,
      host: options.host ?? hostname(),
      time,
      tags: options.tags ?? [],
      parent: parent?.id,
      program: PROGRAM,
      volumes: [
        {
          sizeBytes: image.sizeBytes,
          root: image.root,
          imageDigest: image.digest,
          source: { kind, label, logicalSectorBytes, physicalSectorBytes },
          badRanges: image.badRanges,
          ...(unchanged === undefined ? {} : { changedSince: unchanged.snapshot.id }),
          ...(disk === undefined ? {} : { disk }),
        },
      ],
      checkpoint,
      stats: { ...image.stats, seconds: (performance.now() - started) / 1000 },
    })

    const run = new BackupRun({
      context,
      source,
      options,
      session: sessions.current.id,
      checkpoints: {
        canCommit: () => sessions.canCheckpoint,
        commit: async (image) =>
          (await sessions.checkpoint(() => describe(image, true))) ? sessions.current.id : undefined,
      },
      claims,
      ...(unchanged === undefined ? {} : { unchanged: unchanged.regions }),
      workers,
      signal,
      started,
    })
    const image = await run.encodeImage()
    await source.assertUnchanged()
    signal.throwIfAborted()
    const snapshot = describe(image, false)
    run.reportCommit(image.sizeBytes)
    await sessions.current.commit(snapshot, signal)
    await sessions.forgetCheckpoint()
    return snapshot
  } catch (error) {
    await sessions.current.abandon()
    throw error
  }
}

async function unchangedOf(
  context: BackupContext,
  source: BlockSource,
  { changedSince }: BackupOptions,
  claims: Claims,
  signal: AbortSignal,
): Promise<Unchanged | undefined> {
  if (changedSince === undefined) return undefined
  const { regionBytes } = context.config
  return await openUnchanged({ ...context, source, regionBytes, known: claims.table, signal }, changedSince)
}

/** Refuses what could be written into a snapshot but not be read from it again. */
function assertOptions(source: BlockSource, options: BackupOptions): void {
  const { tags = [], name = source.info.label, host = '', onReadError = 'stop' } = options
  const wrong = (what: string): PlatterError => new PlatterError('ERR_INVALID_ARGUMENT', what)
  if (!isText(name, 1, MAX_NAME_LENGTH)) throw wrong(`A name has 1 to ${MAX_NAME_LENGTH} characters.`)
  if (!isText(host, 0, MAX_NAME_LENGTH)) throw wrong(`A host has at most ${MAX_NAME_LENGTH} characters.`)
  if (!Array.isArray(tags) || tags.length > MAX_TAGS)
    throw wrong(`A snapshot has a list of at most ${MAX_TAGS} tags.`)
  if (!tags.every((tag) => isText(tag, 1, MAX_TAG_LENGTH)))
    throw wrong(`A tag has 1 to ${MAX_TAG_LENGTH} characters.`)
  if (onReadError !== 'stop' && onReadError !== 'record')
    throw wrong(`What is done with read errors is 'stop' or 'record', not '${String(onReadError)}'.`)
  const { checkpointBytes = 1, checkpointSeconds = 1, heartbeatSeconds = 1 } = options
  for (const [name, value] of Object.entries({ checkpointBytes, checkpointSeconds, heartbeatSeconds })) {
    if (typeof value !== 'number' || !(value > 0)) throw wrong(`${name} must be more than 0, not ${value}.`)
  }
  assertSourceInfo(source, wrong)
}

function assertSourceInfo(source: BlockSource, wrong: (what: string) => PlatterError): void {
  const { kind, label, sizeBytes, logicalSectorBytes, physicalSectorBytes } = source.info
  if (!isText(kind, 0, MAX_LABEL_LENGTH) || !isText(label, 0, MAX_LABEL_LENGTH))
    throw wrong(`Kind and label of a source have at most ${MAX_LABEL_LENGTH} characters.`)
  // Only a stream may not know its size: what is read by extents would otherwise end up empty.
  const isUnknownStream = sizeBytes === undefined && source.sequential
  if (!isUnknownStream && !isWhole(sizeBytes, 0))
    throw wrong(`The source ${label} has an impossible size of ${sizeBytes} bytes.`)
  if (!isWhole(logicalSectorBytes, 1) || !isWhole(physicalSectorBytes, 1)) {
    throw wrong(
      `The source ${label} has impossible sectors of ${logicalSectorBytes} and ${physicalSectorBytes} bytes.`,
    )
  }
}

function isText(value: unknown, minLength: number, maxLength: number): boolean {
  return typeof value === 'string' && value.length >= minLength && value.length <= maxLength
}

function isWhole(value: number | undefined, min: number): boolean {
  return value !== undefined && Number.isSafeInteger(value) && value >= min && value <= MAX_IMAGE_BYTES
}

/** @throws ERR_LIMIT_EXCEEDED when a disk has more bad places than a snapshot can record. */
export function assertBadRangeLimit(count: number): void {
  if (count > MAX_BAD_RANGES) {
    throw new PlatterError(
      'ERR_LIMIT_EXCEEDED',
      `The source has more than ${MAX_BAD_RANGES} unreadable places; rescue it with a tool made for failing disks first.`,
    )
  }
}
