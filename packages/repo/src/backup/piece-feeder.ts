import { type BlockSource, PlatterError } from '@platter/core'
import type { ByteRange } from '../api/snapshot-types.ts'
import { RUN } from '../format/tree-node.ts'
import type { BackupRequest } from './backup-protocol.ts'
import { type ReadFully, readAround } from './read-around.ts'
import { PIECE_BYTES } from './region-encoder.ts'
import type { RegionTask } from './region-task.ts'

/** Sends to a worker. */
export type PostToWorker = (request: BackupRequest, transfer?: readonly ArrayBuffer[]) => void

/**
 * Reads the pieces of regions in the main thread and sends them to one worker, for sources that workers cannot
 * read themselves. It waits when the worker has not emptied the pieces before.
 */
export class PieceFeeder {
  readonly #source: BlockSource
  readonly #post: PostToWorker
  readonly #maxPieces: number
  readonly #recordErrors: boolean
  readonly #signal: AbortSignal
  readonly #memories: ArrayBuffer[] = []
  #made = 0
  #wake: (() => void) | undefined
  #last: Promise<void> = Promise.resolve()

  constructor(options: {
    readonly source: BlockSource
    readonly post: PostToWorker
    readonly maxPieces: number
    readonly recordErrors: boolean
    readonly signal: AbortSignal
  }) {
    this.#source = options.source
    this.#post = options.post
    this.#maxPieces = options.maxPieces
    this.#recordErrors = options.recordErrors
    this.#signal = options.signal
  }

  /** Takes back a piece's memory. */
  giveBack(memory: ArrayBuffer): void {
    this.#memories.push(memory)
    this.#wake?.()
  }

  /** Feeds a region's data, after the regions before it. */
  feed(task: RegionTask): Promise<void> {
    this.#last = this.#last.then(() => this.#feedRegion(task))
    return this.#last
  }

  /** Sends one piece; `bytes` of its memory are filled. */
  send(memory: ArrayBuffer, bytes: number, bad: readonly ByteRange[]): void {
    this.#post({ type: 'piece', bytes: new Uint8Array(memory, 0, bytes), bad }, [memory])
  }

  /** Memory for a piece, once there is some. */
  async memory(): Promise<ArrayBuffer> {
    while (this.#memories.length === 0) {
      this.#signal.throwIfAborted()
      if (this.#made < this.#maxPieces) {
        this.#made++
        return new ArrayBuffer(PIECE_BYTES)
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#memories.pop()!
  }

  /** Wakes whoever waits for memory, so that it notices the signal. */
  stop(): void {
    this.#wake?.()
  }

  async #feedRegion(task: RegionTask): Promise<void> {
    const { logicalSectorBytes } = this.#source.info
    for (const { kind, offset, length } of task.ranges) {
      if (kind !== RUN.stored) continue
      for (let at = offset; at < offset + length; at += PIECE_BYTES) {
        const memory = await this.memory()
        const into = new Uint8Array(memory, 0, Math.min(PIECE_BYTES, offset + length - at))
        const bad = this.#recordErrors ? await readAround(this.#readFully, at, into, logicalSectorBytes) : []
        if (!this.#recordErrors) await this.#readFully(at, into)
        this.send(memory, into.length, bad)
      }
    }
  }

  readonly #readFully: ReadFully = async (offset, into) => {
    const bytes = await readUntilFull(this.#source, offset, into, this.#signal)
    if (bytes < into.length) {
      throw new PlatterError(
        'ERR_SOURCE_CHANGED',
        `The source ended at byte ${offset + bytes} while it was being read; it has shrunk.`,
        {
          offset: offset + bytes,
        },
      )
    }
  }
}

/** Reads until `into` is full or the source ends, and says how much it got. */
export async function readUntilFull(
  source: BlockSource,
  offset: number,
  into: Uint8Array,
  signal: AbortSignal,
): Promise<number> {
  let done = 0
  while (done < into.length) {
    signal.throwIfAborted()
    const part = into.subarray(done)
    const got = await source.read(offset + done, part, { signal })
    // A source that miscounts would leave zeros, or bytes of another piece, in the image.
    if (!Number.isInteger(got) || got < 0 || got > part.length) {
      throw new PlatterError(
        'ERR_INVALID_ARGUMENT',
        `The source ${source.info.label} says that it read ${got} of ${part.length} bytes at byte ${offset + done}; its 'read' is wrong.`,
        { offset: offset + done, length: part.length },
      )
    }
    if (got === 0) break
    done += got
  }
  return done
}
