import type { DiskDescription, PartitionDescription } from '@platter/core'

/** Characters of the picture of a disk. */
export interface MapCharacters {
  readonly full: string
  readonly partly: string
  readonly free: string
  /** No partition is there. */
  readonly gap: string
}

export const ASCII_MAP: MapCharacters = { full: '#', partly: '+', free: '-', gap: '.' }
export const UNICODE_MAP: MapCharacters = { full: '█', partly: '▒', free: '░', gap: '·' }

/**
 * A disk as one line of `width` characters between brackets: what of it is in use, is free, or is no partition. Each
 * partition begins with its number where there is room.
 */
export function diskMap(
  { usage, partitions }: DiskDescription,
  sizeBytes: number,
  width: number,
  characters: MapCharacters,
): string {
  const leaves = partitions.filter(({ kind }) => kind !== 'extended')
  const cells = Array.from({ length: width }, (_, i) => {
    const column = { from: (sizeBytes / width) * i, to: (sizeBytes / width) * (i + 1) }
    const isGap = leaves.length > 0 && coveredBytes(column, leaves) < (column.to - column.from) / 2
    return isGap ? characters.gap : levelOf(usedShare(column, usage, sizeBytes), characters)
  })
  for (const { number, offset, length } of leaves) {
    const digits = String(number)
    const first = Math.ceil((offset / sizeBytes) * width - 0.5)
    const last = Math.ceil(((offset + length) / sizeBytes) * width - 0.5)
    if (first >= 0 && last <= width && last - first > digits.length)
      cells.splice(first, digits.length, ...digits)
  }
  return `[${cells.join('')}]`
}

interface Column {
  readonly from: number
  readonly to: number
}

function coveredBytes(column: Column, partitions: readonly PartitionDescription[]): number {
  return partitions.reduce(
    (sum, { offset, length }) => sum + overlap(column, { from: offset, to: offset + length }),
    0,
  )
}

/** How much of a column is in use, from 0 to 1; exactly so only when all the parts below it say so. */
function usedShare(column: Column, usage: readonly number[], sizeBytes: number): number {
  const partBytes = sizeBytes / usage.length
  let share = 0
  for (let i = Math.floor(column.from / partBytes); i < usage.length && i * partBytes < column.to; i++)
    share += (usage[i]! / 255) * overlap(column, { from: i * partBytes, to: (i + 1) * partBytes })
  return share / (column.to - column.from)
}

/** What rounding leaves of nothing, or of all. */
const ROUNDING = 0.001

function levelOf(share: number, { full, partly, free }: MapCharacters): string {
  if (share > 1 - ROUNDING) return full
  return share < ROUNDING ? free : partly
}

function overlap(a: Column, b: Column): number {
  return Math.max(0, Math.min(a.to, b.to) - Math.max(a.from, b.from))
}
