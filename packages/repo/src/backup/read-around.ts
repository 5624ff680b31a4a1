import { PlatterError } from '@platter/core'
import type { ByteRange } from '../api/snapshot-types.ts'

/** Reads all of `into` from `offset`, or throws ERR_SOURCE_READ or ERR_SOURCE_CHANGED. */
export type ReadFully = (offset: number, into: Uint8Array) => Promise<void> | void

/**
 * Reads what can be read of a range and leaves zeros for the rest. A failing stretch is halved until it is one
 * sector, so the loss is as small as the device allows.
 *
 * @returns the ranges that could not be read, ascending and merged.
 * @throws anything but ERR_SOURCE_READ.
 */
export async function readAround(
  read: ReadFully,
  offset: number,
  into: Uint8Array,
  sectorBytes: number,
): Promise<ByteRange[]> {
  const bad: ByteRange[] = []
  const attempt = async (from: number, to: number): Promise<void> => {
    const part = into.subarray(from, to)
    try {
      await read(offset + from, part)
    } catch (error) {
      if (!PlatterError.is(error, 'ERR_SOURCE_READ')) throw error
      if (to - from <= sectorBytes) {
        part.fill(0)
        addRange(bad, offset + from, to - from)
        return
      }
      // Halves at a multiple of the sector size in the image.
      const middle = Math.ceil((offset + from + (to - from) / 2) / sectorBytes) * sectorBytes - offset
      const split = middle >= to ? middle - sectorBytes : middle
      await attempt(from, split)
      await attempt(split, to)
    }
  }
  await attempt(0, into.length)
  return bad
}

/** Appends a range to ascending ones; one that adjoins the last is merged into it. */
export function addRange(ranges: ByteRange[], offset: number, length: number): void {
  const last = ranges.at(-1)
  if (last !== undefined && last.offset + last.length === offset) {
    ranges[ranges.length - 1] = { offset: last.offset, length: last.length + length }
  } else {
    ranges.push({ offset, length })
  }
}
