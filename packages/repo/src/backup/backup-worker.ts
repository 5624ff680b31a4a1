import type { MessagePort } from 'node:worker_threads'
import { systemRandom, toTransported } from '@platter/core'
import { BLOB_ENTRY_BYTES } from '../format/blob-entry.ts'
import { packCipher, packSuite, sealOverheadBytes } from '../format/pack-cipher.ts'
import { PACK_SALT_BYTES, packFileBytes } from '../format/pack-file.ts'
import { ClaimTable } from '../index/claim-table.ts'
import { PackAssembler } from '../pack/pack-assembler.ts'
import type { BackupReply, BackupRequest, BackupWorkerData } from './backup-protocol.ts'
import { DirectReader } from './direct-reader.ts'
import { PieceQueue } from './piece-queue.ts'
import { type PackSupply, type PieceReader, RegionEncoder } from './region-encoder.ts'
import type { RegionTask } from './region-task.ts'

/** Room for the directory of a pack; one with more entries is closed early. */
const DIRECTORY_BYTES = 1024 * 1024
const STOPPED = Symbol('stopped')

/**
 * Serves a backup at one end of a message port: encodes the regions it is sent, one after the other, and sends
 * packs and results back. Runs in a worker thread, or in the main thread at the other end of a channel.
 */
export function serveBackup(port: MessagePort, data: BackupWorkerData): void {
  new BackupWorker(port, data)
}

class BackupWorker implements PackSupply {
  readonly #port: MessagePort
  readonly #packBytes: number
  readonly #packKey: Uint8Array | undefined
  readonly #stop: Int32Array
  readonly #claims = new ClaimTable()
  readonly #pieces: PieceQueue
  readonly #reader: PieceReader
  readonly #encoder: RegionEncoder
  readonly #tasks: (RegionTask | 'flush')[] = []
  readonly #memories: ArrayBuffer[] = []
  #wakeForMemory: (() => void) | undefined
  #pack: PackAssembler | undefined
  #working = false

  constructor(port: MessagePort, data: BackupWorkerData) {
    this.#port = port
    this.#packBytes = data.packBytes
    this.#packKey = data.settings.keys.pack
    this.#stop = new Int32Array(data.stop)
    for (const segment of data.claimSegments) this.#claims.add(segment)
    this.#pieces = new PieceQueue((memory) => this.#send({ type: 'piece-memory', memory }, [memory]))
    this.#reader =
      data.fd === undefined ? this.#pieces : new DirectReader(data.fd, data.onReadError, data.sectorBytes)
    const counters = new Float64Array(data.counters)
    this.#encoder = new RegionEncoder(data.settings, this.#claims, this, {
      add({ bytesDone, bytesRead, bytesNew, bytesKnown }) {
        counters[0]! += bytesDone
        counters[1]! += bytesRead
        counters[2]! += bytesNew
        counters[3]! += bytesKnown
      },
    })
    port.on('message', (request: BackupRequest) => this.#receive(request))
  }

  /**
   * The pack under way while it has room for that much, else a new one. Asked before each piece, so this is also
   * where a worker hears that it is to stop, and lets other work of its thread run.
   */
  async packFor(bytes: number, entries: number): Promise<PackAssembler> {
    await new Promise<void>((resolve) => setImmediate(resolve))
    if (Atomics.load(this.#stop, 0) !== 0) throw STOPPED
    if (this.#pack !== undefined && (this.#pack.isFull(this.#packBytes) || !this.#pack.fits(bytes, entries)))
      this.#sendPack(false)
    const entryBytes = BLOB_ENTRY_BYTES + sealOverheadBytes(packSuite(this.#packKey))
    this.#pack ??= new PackAssembler(
      await this.#memory(bytes + entries * entryBytes),
      packCipher(this.#packKey, systemRandom(PACK_SALT_BYTES)),
    )
    return this.#pack
  }

  #receive(request: BackupRequest): void {
    switch (request.type) {
      case 'region':
        this.#tasks.push(request.task)
        void this.#work()
        break
      case 'flush':
        this.#tasks.push('flush')
        void this.#work()
        break
      case 'piece':
        this.#pieces.push(request)
        break
      case 'memory':
        this.#memories.push(request.memory)
        this.#wakeForMemory?.()
        break
      case 'claims':
        this.#claims.add(request.segment)
        break
    }
  }

  /** Does the tasks in their order, one at a time. */
  async #work(): Promise<void> {
    if (this.#working) return
    this.#working = true
    try {
      for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) {
        if (task === 'flush') this.#flush()
        else await this.#encode(task)
      }
    } catch (error) {
      if (error !== STOPPED) this.#send({ type: 'error', error: toTransported(error) })
    } finally {
      this.#working = false
    }
  }

  async #encode(task: RegionTask): Promise<void> {
    const result = await this.#encoder.encode(task, this.#reader)
    this.#send({ type: 'region', result })
  }

  #flush(): void {
    if (this.#pack !== undefined && this.#pack.blobBytes > 0) this.#sendPack(true)
    this.#send({ type: 'flushed' })
  }

  #sendPack(last: boolean): void {
    const { id, memory, fileBytes } = this.#pack!.seal()
    this.#pack = undefined
    this.#send({ type: 'pack', pack: { id, memory, fileBytes, last } }, [memory])
  }

  /** Memory for the next pack, from the main thread, which bounds how much of it there is. */
  async #memory(room: number): Promise<ArrayBuffer> {
    const blobBytes = this.#packBytes + room + DIRECTORY_BYTES
    this.#send({ type: 'memory-wanted', bytes: packFileBytes(blobBytes, 0, packSuite(this.#packKey)) })
    while (this.#memories.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wakeForMemory = resolve
      })
      if (Atomics.load(this.#stop, 0) !== 0) throw STOPPED
    }
    return this.#memories.pop()!
  }

  #send(reply: BackupReply, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(reply, transfer)
  }
}
