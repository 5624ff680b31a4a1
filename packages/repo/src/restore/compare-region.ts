import type { Hasher } from '@platter/core'
import { RUN } from '../format/tree-node.ts'
import { idAt } from '../tree/volume-tree.ts'
import type { CompareTask } from './restore-protocol.ts'
import { partsOf, type RestoreScope, restoredBytes } from './restore-scope.ts'

/** Reads from the target until `into` is full or the target ends; says how much it got. Offsets are the target's. */
export type ReadTarget = (offset: number, into: Uint8Array) => Promise<number>

const ZEROS = Buffer.alloc(1024 * 1024)

/** What is needed to compare with a target. */
export interface Comparison {
  readonly scope: RestoreScope
  readonly read: ReadTarget
  readonly hasher: Hasher
  /** Memory for the longest chunk. */
  readonly scratch: Uint8Array
}

/**
 * Finds the runs of a region that the target holds already, or that are not restored: chunks by their ids, holes by
 * being zero. A chunk of which a part is restored counts as different.
 *
 * @returns 1 for each run that needs no work.
 */
export async function compareRegion(task: CompareTask, comparison: Comparison): Promise<Uint8Array> {
  const { scope } = comparison
  const same = new Uint8Array(task.kinds.length)
  let at = task.offset
  let stored = 0
  for (let i = 0; i < same.length; i++) {
    const length = task.spans[i]!
    const kind = task.kinds[i]!
    const id = kind === RUN.stored ? idAt(task.ids, stored++) : undefined
    const restored = restoredBytes(scope, at, length)
    if (restored === 0 || (kind === RUN.unused && scope.keepUnused)) same[i] = 1
    else if (id === undefined) same[i] = (await isZero(comparison, at, length)) ? 1 : 0
    else if (restored === length) same[i] = (await isChunk(comparison, at, length, id)) ? 1 : 0
    at += length
  }
  return same
}

/** Whether the target holds a chunk in its place. */
export async function isChunk(
  { scope, read, hasher, scratch }: Comparison,
  offset: number,
  length: number,
  id: Uint8Array,
): Promise<boolean> {
  const into = scratch.subarray(0, length)
  const got = await read(offset - scope.offset, into)
  return got === length && Buffer.compare(hasher.hash(into), id) === 0
}

/** Whether what is restored of a range of the image reads as zeros on the target. */
export async function isZero(
  { scope, read, scratch }: Omit<Comparison, 'hasher'>,
  offset: number,
  length: number,
): Promise<boolean> {
  const step = Math.min(ZEROS.length, scratch.length)
  for (const part of partsOf(scope, offset, length)) {
    for (let done = 0; done < part.length; done += step) {
      const into = scratch.subarray(0, Math.min(step, part.length - done))
      if ((await read(part.offset - scope.offset + done, into)) !== into.length) return false
      if (Buffer.compare(into, ZEROS.subarray(0, into.length)) !== 0) return false
    }
  }
  return true
}
