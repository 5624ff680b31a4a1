import {
  AlignedChunker,
  type BlockScanner,
  type Chunker,
  CODEC,
  type CodecName,
  compress,
  createBlockScanner,
  createChunker,
  createHasher,
  createKernels,
  decompress,
  type Hasher,
  PlatterError,
  releaseMemory,
} from '@platter/core'
import type { ByteRange } from '../api/snapshot-types.ts'
import type { ChunkerSettings } from '../config/repository-config.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import { BLOCK_BYTES, MIN_HOLE_BYTES } from '../format/limits.ts'
import { RUN } from '../format/tree-node.ts'
import type { ClaimTable } from '../index/claim-table.ts'
import type { PackAssembler } from '../pack/pack-assembler.ts'
import { DIGEST_BYTES, RegionDigest } from '../tree/region-digest.ts'
import { HoleFinder } from './hole-finder.ts'
import { LeafBuilder } from './leaf-builder.ts'
import type { RegionCounts, RegionResult, RegionTask } from './region-task.ts'

/** Image bytes read and worked on at a time: few enough to stay in a core's own cache until they are hashed. */
export const PIECE_BYTES: number = 512 * 1024
/** Pieces read one behind the other before what is not cut yet moves to the front of the slab again. */
const PIECES_PER_SLAB = 2

/** What an encoder needs, all of it fixed for one backup. */
export interface EncoderSettings {
  readonly chunker: ChunkerSettings
  readonly regionBytes: number
  readonly keys: RepositoryKeys
  readonly codec: CodecName
  /** One blob in so many that was compressed or encrypted is read back and compared with its plaintext before it goes into a pack. */
  readonly verifyOneIn: number
}

/** Gives the bytes of an image, within the region being encoded, in ascending order. */
export interface PieceReader {
  /** Fills `into` from image offset `offset`. */
  read(offset: number, into: Uint8Array): Promise<PieceRead>
}

/** What became of a read. */
export interface PieceRead {
  /** Bytes filled: all, but where a stream ends. */
  readonly bytes: number
  /** Ranges that could not be read, which hold zeros; empty as a rule. */
  readonly bad: readonly ByteRange[]
}

/** Gives the pack that new blobs go into. */
export interface PackSupply {
  /** A pack with room for `bytes` more of blobs in at most `entries` more entries. */
  packFor(bytes: number, entries: number): Promise<PackAssembler>
}

/** Counters that another thread may look at while a region is encoded. */
export interface LiveCounts {
  add(counts: { bytesDone: number; bytesRead: number; bytesNew: number; bytesKnown: number }): void
}

/**
 * Encodes regions: finds zeros and cut points, names chunks, claims the new ones, compresses them and puts them
 * into packs. This is the hot path. The bytes of a piece are read once, into the memory of the WASM kernels, and
 * stay there; per block and per chunk nothing is copied, sent or awaited.
 */
export class RegionEncoder {
  readonly #settings: EncoderSettings
  readonly #claims: ClaimTable
  readonly #packs: PackSupply
  readonly #live: LiveCounts
  readonly #scanner: BlockScanner
  readonly #slab: Uint8Array
  readonly #chunks: ChunkStream
  readonly #holes: HoleFinder
  readonly #chunkHasher: Hasher
  readonly #nodeHasher: Hasher
  readonly #leaf = new LeafBuilder()
  readonly #digest: RegionDigest
  /** Where in the slab the first piece is read to: behind room for what the piece before left over. */
  readonly #firstPieceAt: number
  /** Most that one piece and what was left over before it can yield. */
  readonly #bytesPerPiece: number
  readonly #entriesPerPiece: number
  #pack: PackAssembler | undefined
  /** Blobs compressed or encrypted so far. */
  #verifiable = 0
  #counts: Mutable<RegionCounts> = emptyCounts()
  /** Of the counts, what has been told to the live counters. */
  #told = { bytesNew: 0, bytesKnown: 0 }
  /** Image offset of the slab's first byte. */
  #slabOffset = 0
  /** Image offset of the region. */
  #regionOffset = 0

  constructor(settings: EncoderSettings, claims: ClaimTable, packs: PackSupply, live: LiveCounts) {
    const { chunker, keys } = settings
    this.#settings = settings
    this.#claims = claims
    this.#packs = packs
    this.#live = live
    this.#firstPieceAt = Math.ceil((chunker.maxBytes + MIN_HOLE_BYTES) / BLOCK_BYTES) * BLOCK_BYTES
    const slabBytes = this.#firstPieceAt + PIECES_PER_SLAB * PIECE_BYTES
    this.#bytesPerPiece = this.#firstPieceAt + PIECE_BYTES
    this.#entriesPerPiece =
      Math.ceil(this.#bytesPerPiece / chunker.minBytes) + Math.ceil(this.#bytesPerPiece / MIN_HOLE_BYTES) + 1
    const kernels = createKernels({ slabBytes })
    this.#scanner = createBlockScanner({ key: keys.blockDigest, kernels })
    this.#slab = this.#scanner.slab
    const chunkerKeys = { digestKey: keys.blockDigest, cutKey: keys.cutTag, gearKey: keys.gearTable }
    this.#chunks = new ChunkStream(createChunker(chunker, { keys: chunkerKeys, kernels }), (from, to) =>
      this.#chunk(from, to),
    )
    this.#holes = new HoleFinder({
      feed: (end) => this.#feed(end),
      close: (end) => this.#close(end),
      hole: (from, to) => this.#blank(RUN.hole, from, to),
      unused: (from, to) => this.#blank(RUN.unused, from, to),
    })
    this.#chunkHasher = createHasher(keys.chunkId)
    this.#nodeHasher = createHasher(keys.nodeId)
    this.#digest = new RegionDigest(settings.regionBytes, keys.imageDigest, this.#scanner.zeroDigest)
  }

  /** Encodes one region from end to end. */
  async encode(task: RegionTask, reader: PieceReader): Promise<RegionResult> {
    this.#leaf.reset()
    this.#counts = emptyCounts()
    this.#told = { bytesNew: 0, bytesKnown: 0 }
    this.#regionOffset = task.offset
    this.#holes.start(task.offset)
    this.#chunks.start(task.offset)
    const badRanges: ByteRange[] = []
    let regionEnd = task.offset + task.length
    for (const { kind, offset, length } of task.ranges) {
      const end = offset + length
      if (kind === RUN.stored) {
        for (let at = offset; at < Math.min(end, regionEnd); at += PIECE_BYTES) {
          const wanted = Math.min(PIECE_BYTES, end - at)
          const { bytes, bad } = await this.#piece(at, wanted, reader)
          badRanges.push(...bad)
          if (bytes < wanted) regionEnd = at + bytes
        }
        continue
      }
      this.#digest.zeros(offset - task.offset, end - task.offset)
      if (kind === RUN.hole) this.#holes.knownHole(offset)
      else this.#holes.unused(offset, length)
      this.#tell(length, 0)
    }
    await this.#reserve()
    this.#holes.end(regionEnd)
    this.#tell(0, 0)
    return this.#result(task.region, regionEnd - task.offset, badRanges)
  }

  async #piece(offset: number, wanted: number, reader: PieceReader): Promise<PieceRead> {
    await this.#reserve()
    const pieceAt = this.#placePiece(offset, wanted)
    const read = await reader.read(offset, this.#slab.subarray(pieceAt, pieceAt + wanted))
    const { bytes } = read
    const blocks = Math.ceil(bytes / BLOCK_BYTES)
    this.#slab.fill(0, pieceAt + bytes, pieceAt + blocks * BLOCK_BYTES)
    this.#scanner.scan(pieceAt, blocks)
    this.#digest.set(offset - this.#regionOffset, this.#scanner.digests.subarray(0, blocks * DIGEST_BYTES))
    this.#holes.blocks(offset, offset + bytes, this.#scanner.zeroFlags)
    this.#counts.bytesRead += bytes
    this.#tell(bytes, bytes)
    return read
  }

  /** Tells the live counters of bytes dealt with, and of all chunks that were cut since the last time. */
  #tell(bytesDone: number, bytesRead: number): void {
    const { bytesNew, bytesKnown } = this.#counts
    this.#live.add({
      bytesDone,
      bytesRead,
      bytesNew: bytesNew - this.#told.bytesNew,
      bytesKnown: bytesKnown - this.#told.bytesKnown,
    })
    this.#told = { bytesNew, bytesKnown }
  }

  /** Makes sure that whatever a piece yields fits into the pack, so that encoding never has to wait. */
  async #reserve(): Promise<void> {
    this.#pack = await this.#packs.packFor(this.#bytesPerPiece, this.#entriesPerPiece)
  }

  /**
   * Finds a place for the next piece: behind the one before, where what is not cut yet lies in front of it already.
   * At the end of the slab, and behind a hole, it starts at the front again, and only then bytes move.
   */
  #placePiece(offset: number, length: number): number {
    const { chunkStart } = this.#chunks
    const carried = this.#holes.inHole ? 0 : offset - chunkStart
    const next = offset - this.#slabOffset
    if (carried > 0 && next + length <= this.#slab.length) return next
    const from = chunkStart - this.#slabOffset
    if (carried > 0) this.#slab.copyWithin(this.#firstPieceAt - carried, from, from + carried)
    this.#slabOffset = offset - this.#firstPieceAt
    return this.#firstPieceAt
  }

  #feed(end: number): void {
    const { fed } = this.#chunks
    if (end <= fed) return
    if (this.#chunks.aligned)
      this.#chunks.feedDigests(this.#digest.blocks, (fed - this.#regionOffset) / BLOCK_BYTES, end)
    else this.#chunks.feedBytes(this.#slab.subarray(fed - this.#slabOffset, end - this.#slabOffset), end)
  }

  #close(end: number): void {
    this.#feed(end)
    this.#chunks.close()
  }

  #blank(kind: typeof RUN.hole | typeof RUN.unused, from: number, to: number): void {
    this.#leaf.blank(kind, to - from)
    if (kind === RUN.hole) this.#counts.bytesHole += to - from
    else this.#counts.bytesUnused += to - from
    this.#chunks.start(to)
  }

  /** A chunk, as image offsets; its bytes are in the slab. */
  #chunk(from: number, to: number): void {
    const plain = this.#slab.subarray(from - this.#slabOffset, to - this.#slabOffset)
    const id = this.#chunkHasher.hash(plain)
    this.#leaf.chunk(id, plain.length)
    if (!this.#claims.claim(id)) {
      this.#counts.bytesKnown += plain.length
      this.#counts.chunksKnown++
      return
    }
    this.#counts.bytesNew += plain.length
    this.#counts.chunksNew++
    this.#store(id, plain)
  }

  #store(id: Uint8Array, plain: Uint8Array): void {
    const { codec, keys, verifyOneIn } = this.#settings
    const pack = this.#pack!
    const compressed = compress(codec, plain)
    if (compressed === undefined) {
      pack.append(id, BLOB_TYPE.chunk, CODEC.none, plain, plain.length)
      // Copied as it is, it holds nothing that could fail.
      if (keys.pack === undefined) return
    } else {
      pack.append(id, BLOB_TYPE.chunk, CODEC[codec], compressed, plain.length)
      releaseMemory(compressed)
    }
    const stored = compressed === undefined ? 'none' : codec
    if (this.#verifiable++ % verifyOneIn === 0 && !survives(pack, keys.pack !== undefined, stored, plain)) {
      throw new PlatterError(
        'ERR_CORRUPT_BLOB',
        `A chunk did not survive compression with ${stored}${keys.pack === undefined ? '' : ' and encryption'}; nothing was committed. Suspect this machine's memory.`,
        { object: Buffer.from(id).toString('hex') },
      )
    }
  }

  #result(region: number, length: number, badRanges: readonly ByteRange[]): RegionResult {
    const blank = this.#leaf.onlyBlank
    const counts = this.#counts
    if (blank !== undefined) {
      return {
        region,
        length,
        blank,
        nodeId: undefined,
        newNode: undefined,
        digest: undefined,
        badRanges,
        counts,
      }
    }
    const digest = this.#digest.finish(length)
    const node = this.#leaf.encode(digest)
    const nodeId = this.#nodeHasher.hash(node)
    const newNode = this.#claims.claim(nodeId) ? node : undefined
    return { region, length, blank: undefined, nodeId, newNode, digest, badRanges, counts }
  }
}

/** Cuts a region's data segments with a chunker, keeping track of where in the image its cuts are. */
class ChunkStream {
  readonly #chunker: Chunker
  readonly #onChunk: (from: number, to: number) => void
  readonly #digestChunker: AlignedChunker | undefined
  #segmentStart = 0
  /** Image offset of the chunk under way. */
  chunkStart = 0
  /** Image offset up to which the chunker has been fed. */
  fed = 0

  constructor(chunker: Chunker, onChunk: (from: number, to: number) => void) {
    this.#chunker = chunker
    this.#onChunk = onChunk
    this.#digestChunker = chunker instanceof AlignedChunker ? chunker : undefined
  }

  /** Whether cuts follow from block digests alone. */
  get aligned(): boolean {
    return this.#digestChunker !== undefined
  }

  start(at: number): void {
    this.#chunker.reset()
    this.#segmentStart = at
    this.chunkStart = at
    this.fed = at
  }

  feedDigests(digests: Uint8Array, firstBlock: number, end: number): void {
    const blocks = Math.ceil((end - this.fed) / BLOCK_BYTES)
    const tailBytes = end - this.fed - (blocks - 1) * BLOCK_BYTES
    const cuts = this.#digestChunker!.pushDigests(digests, firstBlock, blocks, tailBytes)
    this.fed = end
    this.#emit(cuts)
  }

  feedBytes(bytes: Uint8Array, end: number): void {
    const cuts = this.#chunker.push(bytes)
    this.fed = end
    this.#emit(cuts)
  }

  close(): void {
    this.#emit(this.#chunker.finish())
  }

  #emit(cuts: number): void {
    for (let i = 0; i < cuts; i++) {
      const to = this.#segmentStart + this.#chunker.cuts[i]!
      const from = this.chunkStart
      this.chunkStart = to
      this.#onChunk(from, to)
    }
  }
}

/** Whether the chunk that was appended last can be had again from the pack. */
function survives(pack: PackAssembler, isEncrypted: boolean, codec: CodecName, plain: Uint8Array): boolean {
  const stored = pack.readBackLast()
  if (stored === undefined) return false
  const again = decompress(CODEC[codec], stored, plain.length)
  const same = Buffer.compare(again, plain) === 0
  if (codec !== 'none') releaseMemory(again)
  // What is not encrypted is read back as a view of the pack itself.
  if (isEncrypted) releaseMemory(stored)
  return same
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function emptyCounts(): Mutable<RegionCounts> {
  return {
    bytesRead: 0,
    bytesHole: 0,
    bytesUnused: 0,
    bytesNew: 0,
    bytesKnown: 0,
    chunksNew: 0,
    chunksKnown: 0,
  }
}
