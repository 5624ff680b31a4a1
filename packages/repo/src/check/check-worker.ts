import type { MessagePort } from 'node:worker_threads'
import { toTransported } from '@platter/core'
import { PackChecker } from './check-pack.ts'
import type { CheckReply, CheckRequest, CheckWorkerData } from './check-protocol.ts'

/** Serves a check at one end of a message port: verifies the packs it is sent. */
export function serveCheck(port: MessagePort, data: CheckWorkerData): void {
  const checker = new PackChecker(data.keys)
  const send = (reply: CheckReply): void => port.postMessage(reply)
  port.on('message', ({ name, file }: CheckRequest) => {
    try {
      const problems = checker.check(name, file)
      send({ type: 'checked', name, problems })
    } catch (error) {
      send({ type: 'error', error: toTransported(error) })
    }
  })
}
