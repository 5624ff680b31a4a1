import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The command as it is built. */
export const PLATTER: string = fileURLToPath(new URL('../../../packages/cli/dist/bin.js', import.meta.url))

/** A `platter serve` under way. */
export interface ServedSnapshot {
  /** The NBD URI of the export. */
  readonly uri: string
  /** Ends the server. */
  stop(): Promise<void>
}

/** Serves a snapshot on a Unix socket, with every setting by default. */
export async function serveSnapshot(repo: string, snapshot: string, socket: string): Promise<ServedSnapshot> {
  const child = spawn(process.execPath, [PLATTER, 'serve', repo, snapshot, '--socket', socket], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'close')
  for await (const line of createInterface({ input: child.stdout })) {
    const uri = /nbd\+unix:\S+/.exec(line)?.[0]
    if (uri === undefined) continue
    child.stdout.resume()
    return {
      uri,
      stop: async () => {
        child.kill('SIGINT')
        await ended
      },
    }
  }
  throw new Error(`platter serve ended with ${child.exitCode} before it served.`)
}
