import type { ByteRange, Snapshot } from './snapshot-types.ts'

/** What a backup does with a read error. */
export type ReadErrorPolicy =
  /** Stop and say where (the default). */
  | 'stop'
  /** Read around it sector by sector, keep zeros for what cannot be read, and record the bad ranges. */
  | 'record'

/** What changed since an earlier snapshot, by the account of whoever keeps track of it, such as a hypervisor. */
export interface ChangedSince {
  /** Id of the snapshot, which must be of the same image. */
  readonly snapshot: string
  /** Every byte that may differ lies in one of these ranges. They may come in any order and overlap. */
  readonly extents: Iterable<ByteRange> | AsyncIterable<ByteRange>
  /** Places outside of the ranges that are read and compared first. Default 64, and 1 for every 64 regions. */
  readonly auditSamples?: number
}

/** How far a backup has come. */
export interface BackupProgress {
  readonly phase: 'reading' | 'committing'
  /** Image bytes dealt with, holes included. */
  readonly bytesDone: number
  /** Size of the image; undefined while a stream's end is not known. */
  readonly bytesTotal: number | undefined
  /** Bytes read from the source. */
  readonly bytesRead: number
  /** Plaintext bytes of chunks the repository did not have. */
  readonly bytesNew: number
  /** Plaintext bytes of chunks it had. */
  readonly bytesKnown: number
  /** Bytes handed to the store. */
  readonly bytesStored: number
  readonly seconds: number
}

/** Options of {@link Repository.backup}. */
export interface BackupOptions {
  /** What the image is called across snapshots, such as 'web-01/sda'. Default: the source's label. */
  readonly name?: string
  /** Default: the host's name. */
  readonly host?: string
  readonly tags?: readonly string[]
  /** Default 'stop'. */
  readonly onReadError?: ReadErrorPolicy
  /**
   * Takes over from an earlier snapshot what has not changed since, without reading it, region by region. Where that
   * cannot be relied upon, everything is read, and `onWarning` of the repository is told (WARN_CHANGES_IGNORED): the
   * snapshot is gone or of another size, or a sample of what is said to be unchanged differs. Not for streams.
   * What the earlier snapshot left out as unused is read where the source says that it is in use now.
   */
  readonly changedSince?: ChangedSince
  /** Worker threads; 0 does all in the calling thread. Default: one per core, at most 8. */
  readonly workers?: number
  /**
   * Bytes stored after which a backup commits a checkpoint: what it has so far, kept until the backup is finished, so
   * that one that is interrupted need not store it again, whatever is pruned meanwhile. Default 16 GiB.
   */
  readonly checkpointBytes?: number
  /** Seconds after which it does so too, if anything was stored since the last one. Default 1800. */
  readonly checkpointSeconds?: number
  /** How often a backup gives a sign of life in the store, in seconds. Default 300. */
  readonly heartbeatSeconds?: number
  readonly signal?: AbortSignal
  /** Called at most every `progressMillis` (default 100), and once at the end. */
  readonly onProgress?: (progress: BackupProgress) => void
  readonly progressMillis?: number
}

/** What a backup did; kept in the snapshot. All sizes in bytes. */
export interface BackupStats {
  /** Size of the image. */
  readonly bytesTotal: number
  /** Read from the source. */
  readonly bytesRead: number
  /** Reported as hole by the source, or found to be zero. */
  readonly bytesHole: number
  /** Left out, since its filesystem does not use it; restored as zeros. Absent when nothing was. */
  readonly bytesUnused?: number
  /** Plaintext of chunks the repository did not have before. */
  readonly bytesNew: number
  /** What the repository grew by: packs and index segments; the small records beside them are not counted. */
  readonly bytesStored: number
  readonly chunksNew: number
  readonly chunksKnown: number
  /** Taken over from an earlier snapshot without reading, see `changedSince`; absent when nothing was. */
  readonly bytesReused?: number
  readonly seconds: number
}

/** A snapshot just committed. */
export interface BackupResult extends Snapshot {}
