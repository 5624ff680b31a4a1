import type { MessagePort } from 'node:worker_threads'
import { createHasher, toTransported } from '@platter/core'
import { BlobOpener } from '../pack/blob-opener.ts'
import type { DecodeReply, DecodeRequest, DecodeWorkerData } from './decode-protocol.ts'

/** Serves images at one end of a message port: decodes the chunks it is sent and checks each against its id. */
export function serveDecode(port: MessagePort, data: DecodeWorkerData): void {
  const opener = new BlobOpener(data.keys.pack)
  const hasher = createHasher(data.keys.chunkId)
  const send = (reply: DecodeReply, transfer: ArrayBuffer[] = []): void => port.postMessage(reply, transfer)
  port.on('message', ({ batch, blobs }: DecodeRequest) => {
    try {
      const plains = blobs.map(({ sealed, packSalt, ...entry }) => {
        const plain = sealed && opener.open(entry, packSalt, sealed, hasher)
        // Memory that native code made, or that others have views of, cannot go to another thread.
        return plain && new Uint8Array(plain)
      })
      send(
        { type: 'decoded', batch, plains },
        plains.flatMap((plain) => (plain === undefined ? [] : [plain.buffer])),
      )
    } catch (error) {
      send({ type: 'error', batch, error: toTransported(error) })
    }
  })
}
