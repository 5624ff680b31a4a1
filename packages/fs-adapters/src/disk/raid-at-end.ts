import { PlatterError } from '@platter/core'
import type { Volume } from '../filesystems/volume.ts'

const KiB = 1024
/** In the byte order of the machine that made it, as a rule the first. */
const MAGICS: readonly number[] = [0xa92b4efc, 0xfc4e2ba9]

/**
 * A member of a Linux RAID that keeps its superblock at the end begins like what is on the array, so that a filesystem
 * seems to be there. What the array uses of the member cannot be told from it alone.
 *
 * Source: the Linux kernel's drivers/md, superblocks 0.90 and 1.0.
 */
export async function raidAtEnd(
  volume: Volume,
  signal: AbortSignal | undefined,
): Promise<{ readonly code: string; readonly message: string } | undefined> {
  const { sizeBytes } = volume
  const places = [
    Math.floor(sizeBytes / (64 * KiB)) * 64 * KiB - 64 * KiB,
    Math.floor((sizeBytes - 8 * KiB) / (4 * KiB)) * 4 * KiB,
  ]
  const bytes = new Uint8Array(4)
  for (const offset of places) {
    if (offset < 0) continue
    try {
      const got = await volume.read(offset, bytes, signal === undefined ? {} : { signal })
      if (got < bytes.length) return { code: 'unreadable', message: 'its end cannot be read' }
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_SOURCE_READ')) throw error
      return { code: 'unreadable', message: 'its end cannot be read' }
    }
    if (MAGICS.includes(new DataView(bytes.buffer).getUint32(0, true)))
      return { code: 'ambiguous', message: 'it has the marks of a member of a Linux RAID' }
  }
  return undefined
}
