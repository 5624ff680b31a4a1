import { CODEC, type CodecName, compress, createHasher, type Hasher, PlatterError } from '@platter/core'
import { DAMAGE } from '../check/damage.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE, type BlobType } from '../format/blob-entry.ts'
import type { SealedStore } from '../format/sealed-store.ts'
import type { ChunkIndex } from '../index/chunk-index.ts'
import { BlobReader } from '../pack/blob-reader.ts'
import type { PackUploader } from '../pack/pack-uploader.ts'
import type { SmallPacks } from '../pack/small-packs.ts'

/** Nodes found in a source that are kept in case one of them is missing; a node describes thousands of chunks. */
const MAX_SPARE_BYTES = 64 * 1024 * 1024

export interface BlobStockInput {
  readonly objects: SealedStore
  readonly index: ChunkIndex
  readonly keys: RepositoryKeys
  readonly codec: CodecName
  /** 1 for each pack number of the index whose pack is damaged or missing. */
  readonly damaged: Uint8Array
  /** Where blobs go that are stored anew; undefined to store nothing. */
  readonly packs: SmallPacks | undefined
  readonly uploader: PackUploader | undefined
}

/**
 * What a repository has while its packs are being repaired: intact blobs of intact packs, and what was stored anew.
 * Reads nodes from wherever an intact copy is.
 */
export class BlobStock extends BlobReader {
  readonly #input: BlobStockInput
  readonly #chunkHasher: Hasher
  readonly #nodeHasher: Hasher
  /** Hex ids of blobs stored anew, and their lengths. */
  readonly #added = new Map<string, number>()
  /** Nodes stored anew, which no index lists yet. */
  readonly #nodes = new Map<string, Uint8Array>()
  readonly #spare = new Map<string, Uint8Array>()
  #spareBytes = 0
  /** Blobs found elsewhere. */
  blobsHealed = 0
  bytesHealed = 0

  constructor(input: BlobStockInput) {
    super(input.objects.store, input.index, input.keys)
    this.#input = input
    this.#chunkHasher = createHasher(input.keys.chunkId)
    this.#nodeHasher = createHasher(input.keys.nodeId)
  }

  /** Whether an intact pack of the index, or one just written, has the blob. */
  has(id: Uint8Array, type: BlobType, length: number | undefined): boolean {
    const added = this.#added.get(keyOf(id, type))
    if (added !== undefined && (length === undefined || added === length)) return true
    return this.hasElsewhere(id, type, length)
  }

  /** Whether an intact pack of the index has the blob. */
  hasElsewhere(id: Uint8Array, type: BlobType, length: number | undefined): boolean {
    const { index, damaged } = this.#input
    for (let entry = index.find(id); entry >= 0; entry = index.findNext(id, entry)) {
      const place = index.location(entry)
      const fits = place.type === type && (length === undefined || place.rawBytes === length)
      if (fits && damaged[place.pack] === 0) return true
    }
    return false
  }

  /** Ids of all blobs that `has` knows of, some of them more than once. */
  *ids(): Generator<Uint8Array> {
    const { index, damaged } = this.#input
    for (let entry = 0; entry < index.size; entry++) {
      if (damaged[index.location(entry).pack] === 0) yield index.id(entry)
    }
    for (const key of this.#added.keys()) yield new Uint8Array(Buffer.from(key.slice(1), 'hex'))
  }

  override async read(id: Uint8Array, type: BlobType, signal?: AbortSignal): Promise<Uint8Array> {
    const hex = Buffer.from(id).toString('hex')
    const added = type === BLOB_TYPE.node ? this.#nodes.get(hex) : undefined
    if (added !== undefined) return added
    try {
      if (this.hasElsewhere(id, type, undefined)) return await super.read(id, type, signal)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof PlatterError && DAMAGE.has(error.code))) throw error
    }
    const spare = type === BLOB_TYPE.node ? this.#spare.get(hex) : undefined
    const plain = spare ?? (await super.read(id, type, signal))
    await this.heal(id, type, plain)
    return plain
  }

  /** Takes a blob over from a damaged pack; the caller has checked it. */
  async salvage(id: Uint8Array, type: BlobType, plain: Uint8Array, isCompressible: boolean): Promise<void> {
    const { packs, uploader, codec } = this.#input
    this.#added.set(keyOf(id, type), plain.length)
    if (type === BLOB_TYPE.node) this.#nodes.set(Buffer.from(id).toString('hex'), plain.slice())
    const compressed = isCompressible && packs !== undefined ? compress(codec, plain) : undefined
    const number = compressed === undefined ? CODEC.none : CODEC[codec]
    packs?.append(id.slice(), type, number, compressed ?? plain, plain.length)
    await uploader?.room()
  }

  /** Stores a blob found elsewhere, if it is what its id says. */
  async heal(id: Uint8Array, type: BlobType, plain: Uint8Array): Promise<boolean> {
    if (this.has(id, type, undefined)) return true
    const hasher = type === BLOB_TYPE.chunk ? this.#chunkHasher : this.#nodeHasher
    if (plain.length === 0 || Buffer.compare(hasher.hash(plain), id) !== 0) return false
    await this.salvage(id, type, plain, type === BLOB_TYPE.chunk)
    this.blobsHealed++
    this.bytesHealed += plain.length
    return true
  }

  /** Keeps a node in memory in case it turns out to be missing. */
  keepSpare(id: Uint8Array, node: Uint8Array): void {
    const hex = Buffer.from(id).toString('hex')
    if (this.#spare.has(hex) || this.#spareBytes + node.length > MAX_SPARE_BYTES) return
    this.#spare.set(hex, node.slice())
    this.#spareBytes += node.length
  }
}

function keyOf(id: Uint8Array, type: BlobType): string {
  return `${type}${Buffer.from(id).toString('hex')}`
}
