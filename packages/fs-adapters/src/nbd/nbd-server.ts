import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import { type BlockImage, PlatterError, type WritableImage } from '@platter/core'
import { ByteBudget } from './byte-budget.ts'
import { type ListenAddress, listen, removeSocket } from './listen.ts'
import { allocationContext, type NbdContext, type NbdExport } from './nbd-export.ts'
import { negotiate, type StartTls } from './negotiation.ts'
import { SocketBytes } from './socket-bytes.ts'
import { Transmission } from './transmission.ts'
import { MAX_PAYLOAD_BYTES, MAX_STRING_BYTES } from './wire.ts'

/** PEM texts. With `ca`, clients must show a certificate that it has signed. */
export interface NbdTls {
  readonly cert: string | Uint8Array
  readonly key: string | Uint8Array
  readonly ca?: string | Uint8Array
}

/** Options of {@link NbdServer.listen}. */
export interface NbdServerOptions {
  /** Name of the export. Clients that ask for none get it as well. Default: ''. */
  readonly name?: string
  readonly description?: string
  /** What clients can ask about ranges, besides `base:allocation`. */
  readonly contexts?: readonly NbdContext[]
  /** Clients may write. The image must be a {@link WritableImage}. */
  readonly writable?: boolean
  /** With it, clients must start TLS before anything else. */
  readonly tls?: NbdTls
  /** Clients at once; more are turned away. Default 64. */
  readonly maxConnections?: number
  /** Bound on data on its way between image and clients. Default 128 MiB, at least 32 MiB. */
  readonly maxBytesInFlight?: number
  /** How long a client may take until it has chosen the export. Default 30 000. */
  readonly handshakeMillis?: number
  /** Told of failed reads and writes, which clients see as I/O errors. */
  readonly onError?: (error: unknown) => void
}

/** What an {@link NbdServer} may do unless told otherwise. */
export const NBD_DEFAULTS: Readonly<
  Required<Pick<NbdServerOptions, 'maxConnections' | 'maxBytesInFlight' | 'handshakeMillis'>>
> = Object.freeze({
  maxConnections: 64,
  maxBytesInFlight: 128 * 1024 * 1024,
  handshakeMillis: 30_000,
})

/**
 * Serves an image as a network block device: fixed newstyle negotiation, simple and structured replies, metadata
 * contexts, any number of connections.
 *
 * ```ts
 * await using image = await repository.openImage('latest')
 * await using server = await NbdServer.listen(image, { path: '/run/web-01.sock' })
 * ```
 */
export class NbdServer implements AsyncDisposable {
  /** Where clients find it, as an NBD URI. */
  readonly uri: string
  /** Port of a TCP server; the one chosen where 0 was asked for. */
  readonly port: number | undefined
  readonly #server: Server
  readonly #address: ListenAddress
  readonly #clients: Set<Promise<void>>
  readonly #closing: AbortController
  #closed: Promise<void> | undefined

  private constructor(
    server: Server,
    address: ListenAddress,
    uri: string,
    clients: Set<Promise<void>>,
    closing: AbortController,
  ) {
    this.#server = server
    this.#address = address
    this.uri = uri
    this.#clients = clients
    this.#closing = closing
    const bound = server.address()
    this.port = typeof bound === 'object' && bound !== null ? bound.port : undefined
  }

  /**
   * Starts to serve. On a Unix socket, only processes of the same user may connect; a TCP server listens on the
   * loopback address unless `host` says otherwise.
   *
   * @throws ERR_INVALID_ARGUMENT
   * @throws ERR_LISTEN when the address is taken or not allowed.
   */
  static async listen(
    image: BlockImage,
    address: ListenAddress,
    options: NbdServerOptions = {},
  ): Promise<NbdServer> {
    const offered = exportOf(image, options)
    const secure = options.tls === undefined ? undefined : secureContextOf(options.tls)
    const closing = new AbortController()
    const clients = new Set<Promise<void>>()
    const budget = new ByteBudget(
      Math.max(MAX_PAYLOAD_BYTES, options.maxBytesInFlight ?? NBD_DEFAULTS.maxBytesInFlight),
    )
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
      const client = serveClient(socket, offered, options, secure, budget, closing.signal).finally(() =>
        clients.delete(client),
      )
      clients.add(client)
    })
    server.maxConnections = options.maxConnections ?? NBD_DEFAULTS.maxConnections
    const uri = await listen(server, address, offered.name, secure !== undefined)
    return new NbdServer(server, address, uri, clients, closing)
  }

  /** Clients connected now. */
  get connections(): number {
    return this.#clients.size
  }

  /** Ends all connections and stops serving. Replies that are under way are sent. Calling it twice is harmless. */
  async close(): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#closing.abort(new PlatterError('ERR_CLOSED', 'The server has been closed.'))
    await Promise.all(this.#clients)
    await ended
    await removeSocket(this.#address)
  }
}

function exportOf(image: BlockImage, options: NbdServerOptions): NbdExport {
  const { name = '', description = '', contexts = [], writable = false } = options
  if (Buffer.byteLength(name) > MAX_STRING_BYTES || name.includes('\0'))
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `The name of an export has at most ${MAX_STRING_BYTES} bytes.`,
    )
  if (writable && !isWritable(image))
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      'The image cannot be written to; serve an overlay over it.',
    )
  return {
    name,
    description,
    image,
    writable: writable ? (image as WritableImage) : undefined,
    contexts: [allocationContext(image), ...contexts],
  }
}

function isWritable(image: BlockImage): image is WritableImage {
  return 'write' in image && 'zero' in image && 'flush' in image
}

function secureContextOf({ cert, key, ca }: NbdTls): SecureContext {
  const pem = (text: string | Uint8Array): string | Buffer =>
    typeof text === 'string' ? text : Buffer.from(text)
  try {
    return createSecureContext({
      cert: pem(cert),
      key: pem(key),
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca: pem(ca) }),
    })
  } catch (cause) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      'The certificate or its key cannot be used; both are PEM texts.',
      {
        cause,
      },
    )
  }
}

/** Serves one connection to its end; never rejects. */
async function serveClient(
  socket: Socket,
  offered: NbdExport,
  options: NbdServerOptions,
  secure: SecureContext | undefined,
  budget: ByteBudget,
  closing: AbortSignal,
): Promise<void> {
  const gone = new AbortController()
  const signal = AbortSignal.any([closing, gone.signal])
  const onClosing = (): void => {
    socket.destroySoon()
    // A client that takes no bytes must not keep the server.
    setTimeout(() => socket.destroy(), 1000).unref()
  }
  closing.addEventListener('abort', onClosing)
  socket.on('close', () => gone.abort(new PlatterError('ERR_CLOSED', 'The client has gone.')))
  const { handshakeMillis = NBD_DEFAULTS.handshakeMillis, onError = () => undefined } = options
  const patience = setTimeout(() => socket.destroy(), handshakeMillis)
  let bytes = new SocketBytes(socket)
  try {
    const startTls = secure === undefined ? undefined : startTlsWith(secure, options.tls?.ca !== undefined)
    const outcome = await negotiate(bytes, offered, startTls)
    clearTimeout(patience)
    if (outcome === undefined) return
    bytes = outcome.bytes
    const context = {
      budget,
      signal,
      onError: (error: unknown) => {
        if (!signal.aborted) onError(error)
      },
    }
    await new Transmission(bytes, offered, outcome.agreement, context).run()
  } catch (error) {
    onError(error)
    socket.destroy()
  } finally {
    clearTimeout(patience)
    closing.removeEventListener('abort', onClosing)
    bytes.end()
    await closed(socket)
  }
}

function startTlsWith(secureContext: SecureContext, requireClient: boolean): StartTls {
  return async (plain) => {
    const socket = new TLSSocket(plain.release() as Socket, {
      isServer: true,
      secureContext,
      requestCert: requireClient,
      rejectUnauthorized: requireClient,
    })
    return new SocketBytes(socket)
  }
}

/** Resolves when a connection is closed, by force where its client does not let go. */
async function closed(socket: Duplex): Promise<void> {
  if (socket.closed) return
  const force = setTimeout(() => socket.destroy(), 2000)
  await new Promise<void>((resolve) => socket.once('close', resolve))
  clearTimeout(force)
}
