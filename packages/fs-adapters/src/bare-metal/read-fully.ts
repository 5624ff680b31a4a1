import { type BlockSource, PlatterError } from '@platter/core'

/** Fills `into` from a source. @throws ERR_SOURCE_CHANGED when there is less, and what `read` throws. */
export async function readFully(
  source: Pick<BlockSource, 'read' | 'info'>,
  offset: number,
  into: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const got = await source.read(offset + done, into.subarray(done), signal ? { signal } : {})
    if (got === 0) {
      throw new PlatterError(
        'ERR_SOURCE_CHANGED',
        `'${source.info.label}' ends at byte ${offset + done}, before its size of ${source.info.sizeBytes}.`,
        { path: source.info.label, offset: offset + done },
      )
    }
    done += got
  }
}
