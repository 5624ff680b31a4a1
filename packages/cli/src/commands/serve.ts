import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BlockImage, PlatterError } from '@platter/core'
import { Overlay } from '@platter/fs-adapters'
import {
  type ListenAddress,
  type NbdContext,
  NbdServer,
  type NbdTls,
  rangesContext,
} from '@platter/fs-adapters/nbd'
import type { Repository, Snapshot } from '@platter/repo'
import type { Call, Command } from '../command-line/command.ts'
import type { OptionValues } from '../command-line/option-values.ts'
import { UsageError } from '../command-line/usage-error.ts'
import { ExitCode } from '../exit-code.ts'
import { formatBytes } from '../format/amounts.ts'
import { printable } from '../format/printable.ts'
import { shortId } from '../format/snapshot-text.ts'
import type { CommandIo } from '../io.ts'
import { KEY_OPTIONS } from '../repository/credentials.ts'
import { openRepository } from '../repository/open-repository.ts'

/** Clients need cores as well, and a few threads decode more than a socket carries. */
const MAX_DECODING_WORKERS = 4
const DEFAULT_CACHE_BYTES = 256 * 1024 * 1024

export const serve: Command = {
  name: 'serve',
  summary: 'Serve the image of a snapshot as a live disk (network block device).',
  operands: ['REPO', 'SNAPSHOT'],
  options: {
    socket: { kind: 'value', placeholder: 'PATH', help: 'Unix socket to listen on (default: a new one).' },
    port: { kind: 'value', placeholder: 'N', help: 'TCP port on the loopback address; 0 takes any.' },
    bind: { kind: 'value', placeholder: 'HOST', help: 'Another address for --port; think of TLS.' },
    overlay: {
      kind: 'value',
      placeholder: 'FILE',
      help: 'Make the disk writable: what is written goes to FILE, the snapshot stays.',
    },
    'tls-cert': { kind: 'value', placeholder: 'FILE', help: 'Certificate (PEM); clients must use TLS.' },
    'tls-key': { kind: 'value', placeholder: 'FILE', help: 'Key of the certificate (PEM).' },
    'tls-ca': { kind: 'value', placeholder: 'FILE', help: 'Clients must show a certificate signed by this.' },
    cache: { kind: 'value', placeholder: 'SIZE', help: 'Memory for data read last (default: 256M).' },
    ...KEY_OPTIONS,
  },
  notes:
    'Serves until it is interrupted (Ctrl-C). The address is printed as an NBD URI, for nbdinfo, nbdcopy,\n' +
    'qemu-img, qemu or nbd-client. The export is called as the snapshot is. Clients can ask what is a hole\n' +
    '(base:allocation) and what differs from the snapshot before (platter:changed-since-parent).\n' +
    'An overlay becomes a snapshot of its own with: platter commit REPO FILE',

  async run(call: Call): Promise<ExitCode> {
    const { operands, options, io, report } = call
    const [repositoryPath, reference] = operands as [string, string]
    const tls = await tlsOf(options)
    const cacheBytes = options.bytes('cache') ?? DEFAULT_CACHE_BYTES
    await using repository = await openRepository(repositoryPath, call)
    const snapshot = await repository.snapshot(reference)
    const address = addressOf(options, io, snapshot)
    const settings = { cacheBytes, workers: decodingWorkers(), ...options.workers(), signal: io.signal }
    await using image = await repository.openImage(snapshot.id, settings)
    const overlayPath = options.text('overlay')
    await using overlay =
      overlayPath === undefined ? undefined : await Overlay.open(overlayPath, image, { base: snapshot.id })
    const served: BlockImage = overlay ?? image
    await using server = await NbdServer.listen(served, address, {
      name: snapshot.name,
      description: `Platter snapshot ${snapshot.id} of ${snapshot.name}, ${snapshot.time}`,
      contexts: await contextsOf(repository, snapshot),
      writable: overlay !== undefined,
      ...(tls === undefined ? {} : { tls }),
      onError: (error) => report.warning(warningOf(error)),
    })
    report.result(
      {
        snapshot: snapshot.id,
        name: snapshot.name,
        uri: server.uri,
        sizeBytes: image.sizeBytes,
        writable: overlay !== undefined,
      },
      `Serving snapshot ${shortId(snapshot.id)} of ${printable(snapshot.name)}, ${formatBytes(image.sizeBytes)}, ` +
        `${overlay === undefined ? 'read-only' : `writable over ${printable(overlayPath!)}`}\n  ${server.uri}`,
      server.uri,
    )
    await interruption(io.signal)
    return ExitCode.done
  },
}

function addressOf(options: OptionValues, io: CommandIo, snapshot: Snapshot): ListenAddress {
  const port = options.text('port')
  const socket = options.text('socket')
  const host = options.text('bind')
  if (port !== undefined && socket !== undefined)
    throw new UsageError('--socket and --port are two places to listen; choose one.')
  if (host !== undefined && port === undefined)
    throw new UsageError('--bind says where --port is; it needs one.')
  if (port === undefined) {
    const folder = io.env.XDG_RUNTIME_DIR || tmpdir()
    return {
      path: socket ?? join(folder, `platter-${shortId(snapshot.id)}-${randomUUID().slice(0, 8)}.sock`),
    }
  }
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535)
    throw new UsageError(`--port takes a number from 0 to 65535, not '${port}'.`)
  return { port: Number(port), ...(host === undefined ? {} : { host }) }
}

async function tlsOf(options: OptionValues): Promise<NbdTls | undefined> {
  const [cert, key, ca] = [options.text('tls-cert'), options.text('tls-key'), options.text('tls-ca')]
  if (cert === undefined && key === undefined && ca === undefined) return undefined
  if (cert === undefined || key === undefined)
    throw new UsageError('TLS needs both --tls-cert and --tls-key.')
  return {
    cert: await pemOf(cert),
    key: await pemOf(key),
    ...(ca === undefined ? {} : { ca: await pemOf(ca) }),
  }
}

async function pemOf(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new PlatterError('ERR_INVALID_ARGUMENT', `Could not read '${path}': ${(cause as Error).message}`, {
      path,
      cause,
    })
  }
}

async function contextsOf(repository: Repository, snapshot: Snapshot): Promise<readonly NbdContext[]> {
  const { parent } = snapshot
  if (parent === undefined) return []
  // A parent may have been forgotten long ago.
  const present = await repository.snapshot(parent).catch((error: unknown) => {
    if (PlatterError.is(error, 'ERR_SNAPSHOT_NOT_FOUND')) return undefined
    throw error
  })
  if (present === undefined) return []
  return [rangesContext('platter:changed-since-parent', () => repository.diff(present.id, snapshot.id))]
}

function warningOf(error: unknown): { readonly code: string; readonly message: string } {
  const message = error instanceof Error ? error.message : String(error)
  return { code: error instanceof PlatterError ? error.code : 'ERR_INTERNAL', message }
}

/** Resolves when the user has had enough. */
function interruption(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    // A server on a socket that nobody uses would not keep the process alive by itself on every platform.
    const alive = setInterval(() => undefined, 2 ** 30)
    signal.addEventListener('abort', () => {
      clearInterval(alive)
      resolve()
    })
  })
}

function decodingWorkers(): number {
  return Math.min(availableParallelism(), MAX_DECODING_WORKERS)
}
