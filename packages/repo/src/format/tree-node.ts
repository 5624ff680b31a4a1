import { HASH_BYTES, PlatterError } from '@platter/core'
import { BLOCK_BYTES, MAX_NODE_BYTES, MAX_REGION_BYTES, MAX_TREE_LEVELS, TREE_FANOUT } from './limits.ts'

/**
 * What a run of a leaf, or a child of an interior node, is: a chunk (or a node) with an id; a hole, which reads as
 * zeros; or unused, which was left out of the backup and reads as zeros.
 */
export const RUN: Readonly<{ stored: 0; hole: 1; unused: 2 }> = Object.freeze({
  stored: 0,
  hole: 1,
  unused: 2,
})
export type RunKind = (typeof RUN)[keyof typeof RUN]

/**
 * A node of a volume tree. Level 0 is a leaf: its runs are chunks, and `spans` are lengths in bytes. On levels
 * above, its runs are nodes one level below and `spans` count such nodes: 1 for a stored one, any number for a
 * hole or an unused stretch.
 */
export interface TreeNode {
  readonly level: number
  readonly kinds: Uint8Array
  readonly spans: Uint32Array
  /** 32 bytes for each stored run, one after the other. */
  readonly ids: Uint8Array
  /** Of a leaf: digest of its region (see `RegionDigest`); absent where every byte reads as zero. */
  readonly digest?: Uint8Array
}

const MAGIC = 0x4e544c50 // 'PLTN'
const VERSION = 1
const HEAD_BYTES = 16

/**
 * Encodes a node: magic (4), version (1), level (1), reserved (2), run count (4), stored count (4); kinds (1 each,
 * padded with zeros to a multiple of 4); spans (4 each, little-endian); ids (32 for each stored run); of a leaf, the
 * digest of its region (32, zeros if absent). There is one encoding of a node, so equal stretches of images have equal
 * ids.
 */
export function encodeNode(node: TreeNode): Uint8Array {
  const count = node.kinds.length
  const spansAt = HEAD_BYTES + ((count + 3) & ~3)
  const idsAt = spansAt + count * 4
  const digestAt = idsAt + node.ids.length
  const bytes = new Uint8Array(digestAt + digestBytes(node.level))
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint8(4, VERSION)
  view.setUint8(5, node.level)
  view.setUint32(8, count, true)
  view.setUint32(12, node.ids.length / HASH_BYTES, true)
  bytes.set(node.kinds, HEAD_BYTES)
  for (let i = 0; i < count; i++) view.setUint32(spansAt + i * 4, node.spans[i]!, true)
  bytes.set(node.ids, idsAt)
  if (node.level === 0 && node.digest !== undefined) bytes.set(node.digest, digestAt)
  return bytes
}

function digestBytes(level: number): number {
  return level === 0 ? HASH_BYTES : 0
}

/**
 * Decodes a node and checks all of it. Its ids are in memory of their own.
 *
 * @param level the level the parent says it has.
 * @param span what it must cover: bytes for a leaf, nodes of the level below otherwise.
 * @throws ERR_CORRUPT_NODE, ERR_UNSUPPORTED_VERSION
 */
export function decodeNode(
  bytes: Uint8Array,
  level: number,
  span: number,
): TreeNode & { readonly ids: Uint8Array<ArrayBuffer> } {
  if (bytes.length < HEAD_BYTES || bytes.length > MAX_NODE_BYTES)
    throw corruptNode('has an impossible length')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0, true) !== MAGIC) throw corruptNode('is no node')
  if (view.getUint8(4) !== VERSION) {
    throw new PlatterError(
      'ERR_UNSUPPORTED_VERSION',
      'A tree node was written by a later version of Platter; use that version or a newer one.',
      { expected: VERSION, actual: view.getUint8(4) },
    )
  }
  if (view.getUint8(5) !== level || level > MAX_TREE_LEVELS)
    throw corruptNode('is of another level than its parent says')
  const count = view.getUint32(8, true)
  const stored = view.getUint32(12, true)
  const spansAt = HEAD_BYTES + ((count + 3) & ~3)
  const idsAt = spansAt + count * 4
  const digestAt = idsAt + stored * HASH_BYTES
  if (bytes.length !== digestAt + digestBytes(level))
    throw corruptNode('has counts that do not fit its length')
  const kinds = new Uint8Array(bytes.subarray(HEAD_BYTES, HEAD_BYTES + count))
  const spans = new Uint32Array(count)
  const largest = level === 0 ? MAX_REGION_BYTES : TREE_FANOUT
  let covered = 0
  let storedRuns = 0
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(spansAt + i * 4, true)
    const kind = kinds[i]!
    if (kind > RUN.unused || length === 0 || length > largest) throw corruptNode('has an impossible run')
    if (kind === RUN.stored) {
      storedRuns++
      if (level > 0 && length !== 1) throw corruptNode('has a child that spans more than one node')
    }
    // Holes start and end on blocks: restore writes and digests whole blocks up to them.
    const besideBlank = kind !== RUN.stored || (i > 0 && kinds[i - 1] !== RUN.stored)
    if (level === 0 && besideBlank && covered % BLOCK_BYTES !== 0)
      throw corruptNode('has a hole that is not on block borders')
    spans[i] = length
    covered += length
  }
  if (storedRuns !== stored) throw corruptNode('has another number of ids than of stored runs')
  if (covered !== span) throw corruptNode(`covers ${covered} where ${span} was expected`)
  // Not `slice`: of a Buffer, as decryption gives it, that is no copy.
  const ids = new Uint8Array(bytes.subarray(idsAt, digestAt))
  const digest = new Uint8Array(bytes.subarray(digestAt))
  return { level, kinds, spans, ids, ...(digest.some((byte) => byte !== 0) ? { digest } : {}) }
}

function corruptNode(problem: string): PlatterError {
  return new PlatterError('ERR_CORRUPT_NODE', `A node of a volume tree ${problem}.`)
}
