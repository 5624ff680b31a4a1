import type { Hasher } from '@platter/core'
import { RUN } from '../format/tree-node.ts'
import { idAt } from '../tree/volume-tree.ts'
import type { CompareTask } from './restore-protocol.ts'

/** Reads from the target until `into` is full or the target ends; says how much it got. */
export type ReadTarget = (offset: number, into: Uint8Array) => Promise<number>

const ZEROS = Buffer.alloc(1024 * 1024)

/**
 * Finds the runs of a region that the target holds already: chunks by their ids, holes by being zero.
 *
 * @param scratch memory for the longest chunk.
 * @returns 1 for each run that needs no work.
 */
export async function compareRegion(
  task: CompareTask,
  read: ReadTarget,
  hasher: Hasher,
  scratch: Uint8Array,
): Promise<Uint8Array> {
  const same = new Uint8Array(task.kinds.length)
  let at = task.offset
  let stored = 0
  for (let i = 0; i < same.length; i++) {
    const length = task.spans[i]!
    if (task.kinds[i] === RUN.stored) {
      const id = idAt(task.ids, stored++)
      const into = scratch.subarray(0, length)
      const got = await read(at, into)
      same[i] = got === length && Buffer.compare(hasher.hash(into), id) === 0 ? 1 : 0
    } else {
      same[i] = (await isZero(read, at, length, scratch)) ? 1 : 0
    }
    at += length
  }
  return same
}

/** Whether a range of the target reads as zeros. */
export async function isZero(
  read: ReadTarget,
  offset: number,
  length: number,
  scratch: Uint8Array,
): Promise<boolean> {
  const step = Math.min(ZEROS.length, scratch.length)
  for (let done = 0; done < length; done += step) {
    const into = scratch.subarray(0, Math.min(step, length - done))
    if ((await read(offset + done, into)) !== into.length) return false
    if (Buffer.compare(into, ZEROS.subarray(0, into.length)) !== 0) return false
  }
  return true
}
