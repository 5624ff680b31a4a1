import type { BlockSource, Extent } from '@platter/core'
import { type ReadPolicy, usedExtents } from '../filesystems/used-extents.ts'
import { isWithin } from '../filesystems/volume.ts'
import type { Partition, PartitionTable } from '../partitions/partition-table.ts'

/**
 * The extents of a disk, with `unused` where the filesystems of its partitions do not use it, as far as policy, table and
 * filesystems allow; the rest is as the source has it.
 */
export async function* diskExtents(
  source: BlockSource,
  table: PartitionTable,
  policy: ReadPolicy,
  signal: AbortSignal | undefined,
): AsyncGenerator<Extent> {
  const call = signal === undefined ? {} : { signal }
  const volumes = policy === 'whole' || !table.isTrustworthy ? [] : volumesOf(table)
  let at = 0
  for (const { offset, length } of volumes) {
    yield* extentsWithin(source, at, offset, call)
    const used = await usedExtents(partOf(source, offset, length), { policy, ...call })
    for await (const extent of used.extents(call)) yield { ...extent, offset: offset + extent.offset }
    at = offset + length
  }
  yield* extentsWithin(source, at, table.sizeBytes, call)
}

function volumesOf(table: PartitionTable): Pick<Partition, 'offset' | 'length'>[] {
  if (table.kind === 'none') return [{ offset: 0, length: table.sizeBytes }]
  return table.partitions
    .filter(({ kind, length }) => kind !== 'extended' && length > 0)
    .sort((a, b) => a.offset - b.offset)
}

/** A part of a source as a source of its own; closing it does nothing. */
function partOf(source: BlockSource, start: number, sizeBytes: number): BlockSource {
  return {
    info: { ...source.info, sizeBytes },
    sequential: false,
    async *extents(options) {
      for await (const extent of extentsWithin(source, start, start + sizeBytes, options ?? {}))
        yield { ...extent, offset: extent.offset - start }
    },
    read: async (offset, into, options) => {
      const room = Math.max(0, Math.min(into.length, sizeBytes - offset))
      return isWithin(offset, room, sizeBytes)
        ? await source.read(start + offset, into.subarray(0, room), options)
        : 0
    },
    assertUnchanged: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
}

async function* extentsWithin(
  source: BlockSource,
  from: number,
  to: number,
  call: { readonly signal?: AbortSignal },
): AsyncGenerator<Extent> {
  if (from >= to) return
  for await (const extent of source.extents(call)) {
    const offset = Math.max(from, extent.offset)
    const end = Math.min(to, extent.offset + extent.length)
    if (offset < end) yield { offset, length: end - offset, kind: extent.kind }
    if (extent.offset >= to) return
  }
}
