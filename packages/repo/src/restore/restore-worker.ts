import { readSync } from 'node:fs'
import type { MessagePort } from 'node:worker_threads'
import { createHasher, PlatterError, toTransported } from '@platter/core'
import { MAX_CHUNK_BYTES } from '../format/limits.ts'
import { type Comparison, compareRegion } from './compare-region.ts'
import { DifferingOutput } from './differing-output.ts'
import { DirectWriter } from './direct-writer.ts'
import { PieceSender } from './piece-sender.ts'
import type {
  CompareTask,
  RestoreReply,
  RestoreRequest,
  RestoreTask,
  RestoreWorkerData,
} from './restore-protocol.ts'
import { ScopedOutput } from './scoped-output.ts'
import { SliceDecoder } from './slice-decoder.ts'

/** Serves a restore at one end of a message port: decodes the slices it is sent, one after the other. */
export function serveRestore(port: MessagePort, data: RestoreWorkerData): void {
  const send = (reply: RestoreReply, transfer: ArrayBuffer[] = []): void => port.postMessage(reply, transfer)
  const stop = new Int32Array(data.stop)
  const pieces = new PieceSender(data.maxPieces, send)
  const { fd, scope } = data
  const read = async (offset: number, into: Uint8Array): Promise<number> => readTarget(fd!, offset, into)
  const direct = fd === undefined ? pieces : new DirectWriter(fd)
  // Where pieces go to the main thread, that compares them.
  const output = fd === undefined || !data.onlyDifferent ? direct : new DifferingOutput(direct, read)
  let takeCopy: ((plain: Uint8Array | undefined) => void) | undefined
  const findCopy = (id: Uint8Array): Promise<Uint8Array | undefined> =>
    new Promise((resolve) => {
      takeCopy = resolve
      send({ type: 'chunk-wanted', id })
    })
  const decoder = new SliceDecoder(data.keys, new ScopedOutput(output, scope), findCopy, data.digest)
  const hasher = createHasher(data.keys.chunkId)
  let comparison: Comparison | undefined
  let last: Promise<void> = Promise.resolve()

  const restore = async (task: RestoreTask): Promise<void> => {
    const decoded = await decoder.decode(task)
    if (decoded !== undefined)
      send({ type: 'slice', slice: task.slice, ...decoded }, [decoded.digests.buffer])
  }
  const compare = async (task: CompareTask): Promise<void> => {
    comparison ??= { scope, read, hasher, scratch: new Uint8Array(MAX_CHUNK_BYTES) }
    const same = await compareRegion(task, comparison)
    send({ type: 'compared', region: task.region, same })
  }
  const enqueue = (work: () => Promise<void>): void => {
    last = last.then(async () => {
      if (Atomics.load(stop, 0) !== 0) return
      try {
        await work()
      } catch (error) {
        send({ type: 'error', error: toTransported(error) })
      }
    })
  }
  port.on('message', (request: RestoreRequest) => {
    if (request.type === 'memory') pieces.giveBack(request.memory)
    else if (request.type === 'slice') enqueue(() => restore(request.task))
    else if (request.type === 'chunk') takeCopy?.(request.plain)
    else enqueue(() => compare(request.task))
  })
}

/** Fills `into` from the target; less only at its end. @throws ERR_TARGET_WRITE when it cannot be read. */
function readTarget(fd: number, offset: number, into: Uint8Array): number {
  let done = 0
  try {
    while (done < into.length) {
      const got = readSync(fd, into, done, into.length - done, offset + done)
      if (got === 0) break
      done += got
    }
  } catch (cause) {
    throw new PlatterError('ERR_TARGET_WRITE', `The target cannot be read at byte ${offset + done}.`, {
      offset: offset + done,
      cause,
    })
  }
  return done
}
