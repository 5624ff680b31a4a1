import { type BlockTarget, PlatterError, type ReadableStore } from '@platter/core'
import type { RestoreOptions, RestoreStats } from '../api/restore-types.ts'
import type { Snapshot } from '../api/snapshot-types.ts'
import type { RepositoryConfig } from '../config/repository-config.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import { onlyVolume } from '../snapshots/only-volume.ts'
import { VolumeTree } from '../tree/volume-tree.ts'
import { workerCount } from '../workers/worker-pool.ts'
import { RestoreRun } from './restore-run.ts'

/** What a restore needs of an open repository. */
export interface RestoreContext {
  readonly store: ReadableStore
  readonly config: RepositoryConfig
  readonly keys: RepositoryKeys
  readonly reader: BlobReader
}

/** Restores a snapshot's volume to a target; see `Repository.restore`. */
export async function restore(
  context: RestoreContext,
  snapshot: Snapshot,
  target: BlockTarget,
  options: RestoreOptions,
): Promise<RestoreStats> {
  const volume = onlyVolume(snapshot)
  if (options.onlyDifferent === true && (target.read === undefined || target.sequential)) {
    throw new PlatterError(
      'ERR_TARGET_UNSUPPORTED',
      `The target ${target.info.label} cannot be read back, so what differs cannot be found; restore it whole.`,
    )
  }
  const { capacityBytes, label } = target.info
  if (capacityBytes !== undefined && capacityBytes < volume.sizeBytes) {
    throw new PlatterError(
      'ERR_TARGET_TOO_SMALL',
      `The target ${label} holds ${capacityBytes} bytes, but the image has ${volume.sizeBytes}; nothing was written.`,
      { expected: volume.sizeBytes, actual: capacityBytes },
    )
  }
  const { store, config, keys, reader } = context
  const run = new RestoreRun({
    store,
    reader,
    keys,
    tree: new VolumeTree(reader, volume, config.regionBytes),
    volume,
    target,
    options,
    workers: workerCount(options.workers),
    signal: options.signal ?? new AbortController().signal,
  })
  return await run.run()
}
