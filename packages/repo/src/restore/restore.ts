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
import { scopeOf } from './restore-scope.ts'
import { ResumePoint } from './resume-point.ts'

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
  const scope = scopeOf(volume.sizeBytes, options)
  assertPossible(target, options)
  if (options.onlyDifferent === true && (target.read === undefined || target.sequential)) {
    throw new PlatterError(
      'ERR_TARGET_UNSUPPORTED',
      `The target ${target.info.label} cannot be read back, so what differs cannot be found; restore it whole.`,
    )
  }
  const { capacityBytes, label } = target.info
  if (capacityBytes !== undefined && capacityBytes < scope.length) {
    throw new PlatterError(
      'ERR_TARGET_TOO_SMALL',
      `The target ${label} holds ${capacityBytes} bytes, but what is to be restored has ${scope.length}; nothing was written.`,
      { expected: scope.length, actual: capacityBytes },
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
    scope,
    resume: ResumePoint.of(volume, target, scope, keys, options),
    workers: workerCount(options.workers),
    signal: options.signal ?? new AbortController().signal,
  })
  return await run.run()
}

function assertPossible(
  target: BlockTarget,
  { onlyDifferent, except = [], unused, journal }: RestoreOptions,
): void {
  if (journal !== undefined && onlyDifferent !== true) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      'A journal is for a restore of what differs: what an earlier attempt wrote is on the target already.',
    )
  }
  if (target.sequential && (except.length > 0 || unused === 'keep')) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `The target ${target.info.label} is written from front to back, so nothing on it can be left as it is.`,
    )
  }
}
