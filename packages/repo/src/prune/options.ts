import { PlatterError } from '@platter/core'
import type { PruneOptions } from '../api/prune-types.ts'

/** Defaults of {@link PruneOptions}. */
export const PRUNE_DEFAULTS: Readonly<
  Required<
    Pick<
      PruneOptions,
      'maxUnusedFraction' | 'maxRepackBytes' | 'patienceSeconds' | 'checkpointDays' | 'wait' | 'pollMillis'
    >
  >
> = Object.freeze({
  maxUnusedFraction: 0.05,
  maxRepackBytes: 16 * 1024 ** 3,
  patienceSeconds: 3600,
  checkpointDays: 30,
  wait: false,
  pollMillis: 15_000,
})

/** Options with nothing left open. */
export type PruneSettings = PruneOptions & typeof PRUNE_DEFAULTS

/** @throws ERR_INVALID_ARGUMENT */
export function pruneSettings(options: PruneOptions): PruneSettings {
  const settings = { ...PRUNE_DEFAULTS, ...options }
  const { maxUnusedFraction, maxRepackBytes, patienceSeconds, checkpointDays, pollMillis } = settings
  const wrong = (what: string): PlatterError => new PlatterError('ERR_INVALID_ARGUMENT', what)
  if (!(maxUnusedFraction >= 0 && maxUnusedFraction <= 1))
    throw wrong(`The unused fraction must be from 0 to 1, not ${maxUnusedFraction}.`)
  for (const [name, value] of Object.entries({
    maxRepackBytes,
    patienceSeconds,
    checkpointDays,
    pollMillis,
  })) {
    if (!(typeof value === 'number' && value >= 0)) throw wrong(`${name} must not be less than 0.`)
  }
  return settings
}
