import { PlatterError } from '@platter/core'
import type { Snapshot, Volume } from '../api/snapshot-types.ts'

/** The volume of a snapshot. @throws ERR_CORRUPT_SNAPSHOT when it has none, ERR_UNSUPPORTED_FEATURE when several. */
export function onlyVolume(snapshot: Snapshot): Volume {
  const [volume, ...others] = snapshot.volumes
  if (volume === undefined) {
    throw new PlatterError('ERR_CORRUPT_SNAPSHOT', `The snapshot ${snapshot.id} has no volume.`, {
      object: snapshot.id,
    })
  }
  if (others.length > 0) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_FEATURE',
      `The snapshot ${snapshot.id} has several volumes; use a newer Platter.`,
      {
        object: snapshot.id,
      },
    )
  }
  return volume
}
