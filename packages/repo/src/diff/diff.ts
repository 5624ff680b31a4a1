import type { ByteRange } from '../api/snapshot-types.ts'
import { RUN, type TreeNode } from '../format/tree-node.ts'
import { idAt, type TreeChild, type VolumeTree } from '../tree/volume-tree.ts'

/**
 * Ranges in which two images of one repository may differ, ascending and merged: wherever their chunks are not the
 * same at the same place. Only where node ids differ are nodes read. Where one image is longer, the rest is a
 * range.
 */
export async function* diffTrees(
  a: VolumeTree,
  b: VolumeTree,
  signal?: AbortSignal,
): AsyncGenerator<ByteRange> {
  yield* merged(differences(a, b, signal))
}

async function* differences(
  a: VolumeTree,
  b: VolumeTree,
  signal: AbortSignal | undefined,
): AsyncGenerator<ByteRange> {
  const common = Math.min(a.sizeBytes, b.sizeBytes)
  for await (const { offset, length } of inRegions(a, b, signal)) {
    if (offset < common) yield { offset, length: Math.min(length, common - offset) }
  }
  const longer = Math.max(a.sizeBytes, b.sizeBytes)
  if (longer > common) yield { offset: common, length: longer - common }
}

async function* inRegions(
  a: VolumeTree,
  b: VolumeTree,
  signal: AbortSignal | undefined,
): AsyncGenerator<ByteRange> {
  if (a.root === undefined || b.root === undefined) return
  const level = Math.max(a.level, b.level)
  const top = (tree: VolumeTree): Place => ({
    tree,
    level: tree.level,
    kind: RUN.stored,
    region: 0,
    regions: tree.regions,
    id: tree.root,
  })
  yield* compare(top(a), top(b), level, signal)
}

/** A node, or a blank stretch, of one of the trees. */
interface Place extends TreeChild {
  readonly tree: VolumeTree
  /** Level of the node; for a blank stretch the level its parent counts it on. */
  readonly level: number
}

async function* compare(
  a: Place,
  b: Place,
  level: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<ByteRange> {
  if (isSame(a, b)) return
  if (level === 0) {
    yield* compareLeaves(a, b, signal)
    return
  }
  // Both sides are brought to children on one level, which then stand at the same regions.
  const left = await childrenOf(a, level, signal)
  const right = await childrenOf(b, level, signal)
  const end = Math.min(endOf(left), endOf(right))
  let i = 0
  let j = 0
  for (let region = Math.max(a.region, b.region); region < end; ) {
    const x = left[i]!
    const y = right[j]!
    const next = Math.min(x.region + x.regions, y.region + y.regions)
    yield* compare(clip(x, region, next), clip(y, region, next), level - 1, signal)
    if (x.region + x.regions === next) i++
    if (y.region + y.regions === next) j++
    region = next
  }
}

function isSame(a: Place, b: Place): boolean {
  if (a.id === undefined || b.id === undefined) return a.id === b.id
  return a.level === b.level && Buffer.compare(a.id, b.id) === 0 && a.regions === b.regions
}

async function childrenOf(place: Place, level: number, signal: AbortSignal | undefined): Promise<Place[]> {
  // A lower root stands as the first child of a taller tree; a blank stretch stands for itself.
  if (place.id === undefined || place.level < level) return [place]
  const children = await place.tree.children(place.id, place.level, place.region, signal)
  return children.map((child) => ({ ...child, tree: place.tree, level: place.level - 1 }))
}

function endOf(places: readonly Place[]): number {
  const last = places.at(-1)!
  return last.region + last.regions
}

/** The part of a blank stretch between two regions; a node is never cut. */
function clip(place: Place, from: number, to: number): Place {
  return place.id === undefined ? { ...place, region: from, regions: to - from } : place
}

async function* compareLeaves(
  a: Place,
  b: Place,
  signal: AbortSignal | undefined,
): AsyncGenerator<ByteRange> {
  const regions = Math.min(a.regions, b.regions)
  const offset = Math.max(a.region, b.region) * a.tree.regionBytes
  const left = a.id === undefined ? undefined : await a.tree.leaf(a.id, a.region, signal)
  const right = b.id === undefined ? undefined : await b.tree.leaf(b.id, b.region, signal)
  const length = Math.min(regions * a.tree.regionBytes, Math.max(a.tree.sizeBytes, b.tree.sizeBytes) - offset)
  yield* compareRuns(runsOf(left, length), runsOf(right, length), offset)
}

/** A run of a leaf: where it starts in the region, where it ends, and its chunk, or undefined for zeros. */
interface Run {
  readonly from: number
  readonly to: number
  readonly id: Uint8Array | undefined
}

function runsOf(leaf: TreeNode | undefined, length: number): Run[] {
  if (leaf === undefined) return [{ from: 0, to: length, id: undefined }]
  const runs: Run[] = []
  let at = 0
  let stored = 0
  for (let i = 0; i < leaf.kinds.length; i++) {
    const to = at + leaf.spans[i]!
    runs.push({ from: at, to, id: leaf.kinds[i] === RUN.stored ? idAt(leaf.ids, stored++) : undefined })
    at = to
  }
  return runs
}

function* compareRuns(left: readonly Run[], right: readonly Run[], offset: number): Generator<ByteRange> {
  let i = 0
  let j = 0
  for (let at = 0; i < left.length && j < right.length; ) {
    const x = left[i]!
    const y = right[j]!
    const to = Math.min(x.to, y.to)
    if (!equalRuns(x, y)) yield { offset: offset + at, length: to - at }
    if (x.to === to) i++
    if (y.to === to) j++
    at = to
  }
}

/** Whether two overlapping runs read the same where they overlap. */
function equalRuns(x: Run, y: Run): boolean {
  if (x.id === undefined || y.id === undefined) return x.id === y.id
  return x.from === y.from && Buffer.compare(x.id, y.id) === 0
}

async function* merged(ranges: AsyncIterable<ByteRange>): AsyncGenerator<ByteRange> {
  let pending: ByteRange | undefined
  for await (const range of ranges) {
    if (pending !== undefined && pending.offset + pending.length === range.offset) {
      pending = { offset: pending.offset, length: pending.length + range.length }
      continue
    }
    if (pending !== undefined) yield pending
    pending = range
  }
  if (pending !== undefined) yield pending
}
