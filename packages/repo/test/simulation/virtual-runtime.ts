// Takes the place of everything in the runtime that would make two runs of one history differ: clocks, timers, the
// event loop's order of messages and immediates, and random bytes. The code under test is not touched; it meets these
// through the names it uses anyway. For a process of its own: nothing else could run beside it.
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import workerThreads from 'node:worker_threads'

/** What a simulation gives the code that runs in it. */
export interface VirtualRuntime {
  /** Milliseconds since some time, which never go back: what timers and `performance.now()` tell. */
  readonly monotonicMillis: () => number
  readonly randomBytes: (lengthBytes: number) => Uint8Array
  readonly startTimer: (callback: () => void, millis: number, repeats: boolean) => VirtualTimer
}

/** A timer that somebody has set. */
export interface VirtualTimer {
  /** Takes the timer back. */
  cancel(): void
}

let runtime: VirtualRuntime | undefined
let isInstalled = false

/** From now on the process runs in `virtual`; undefined gives it the real runtime back. */
export function enter(virtual: VirtualRuntime | undefined): void {
  if (!isInstalled) install()
  runtime = virtual
}

const realImmediate = globalThis.setImmediate

/** Resolves when everything that was under way has come to wait for something that only the simulation can do. */
export async function settled(): Promise<void> {
  await new Promise<void>((resolve) => {
    realImmediate(resolve)
  })
}

/** What `setTimeout` of Node gives back, as far as the code under test uses it. */
class TimerHandle {
  readonly timer: VirtualTimer

  constructor(timer: VirtualTimer) {
    this.timer = timer
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}

function install(): void {
  isInstalled = true
  const real = {
    setTimeout: globalThis.setTimeout,
    setInterval: globalThis.setInterval,
    setImmediate: globalThis.setImmediate,
    clearTimeout: globalThis.clearTimeout,
    clearInterval: globalThis.clearInterval,
    now: performance.now.bind(performance),
    timeout: AbortSignal.timeout,
    randomBytes: crypto.randomBytes as (size: number) => Buffer,
    MessageChannel: workerThreads.MessageChannel,
  }
  const timer =
    (repeats: boolean, otherwise: (...args: never[]) => unknown) =>
    (callback: () => void, millis = 1, ...rest: unknown[]): unknown =>
      runtime === undefined
        ? otherwise(...([callback, millis, ...rest] as never[]))
        : new TimerHandle(runtime.startTimer(callback, millis, repeats))
  const clear =
    (otherwise: (handle: never) => void) =>
    (handle: unknown): void => {
      if (handle instanceof TimerHandle) handle.timer.cancel()
      else otherwise(handle as never)
    }
  Object.assign(globalThis, {
    setTimeout: timer(false, real.setTimeout),
    setInterval: timer(true, real.setInterval),
    clearTimeout: clear(real.clearTimeout),
    clearInterval: clear(real.clearInterval),
    // What a thread does for itself needs no scheduling: it goes on before anybody else does anything.
    setImmediate: (callback: () => void): unknown =>
      runtime === undefined ? real.setImmediate(callback) : queueMicrotask(callback),
  })
  performance.now = () => (runtime === undefined ? real.now() : runtime.monotonicMillis())
  AbortSignal.timeout = (millis) => {
    if (runtime === undefined) return real.timeout.call(AbortSignal, millis)
    const controller = new AbortController()
    const expire = (): void => controller.abort(new DOMException('Timed out.', 'TimeoutError'))
    runtime.startTimer(expire, millis, false)
    return controller.signal
  }
  Object.assign(crypto, {
    randomBytes: (size: number): Buffer =>
      runtime === undefined ? real.randomBytes(size) : randomBuffer(runtime, size),
  })
  Object.assign(workerThreads, {
    MessageChannel: function channel() {
      return runtime === undefined ? new real.MessageChannel() : new VirtualChannel()
    },
  })
  syncBuiltinESMExports()
}

/** More random bytes than these are there to fill space. */
const MAX_DRAWN_BYTES = 65_536

function randomBuffer({ randomBytes }: VirtualRuntime, size: number): Buffer {
  return size <= MAX_DRAWN_BYTES ? Buffer.from(randomBytes(size)) : Buffer.alloc(size, 0x5a)
}

/** A message channel within one thread, whose messages arrive in the order in which they were sent. */
class VirtualChannel {
  readonly port1: VirtualPort
  readonly port2: VirtualPort

  constructor() {
    this.port1 = new VirtualPort()
    this.port2 = new VirtualPort()
    this.port1.peer = this.port2
    this.port2.peer = this.port1
  }
}

class VirtualPort {
  peer: VirtualPort | undefined
  readonly #waiting: unknown[] = []
  #listener: ((message: unknown) => void) | undefined
  #isClosed = false

  on(_event: 'message', listener: (message: unknown) => void): this {
    this.#listener = listener
    for (const message of this.#waiting.splice(0)) this.#deliver(message)
    return this
  }

  postMessage(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    // Cloned as a real port does, so that memory that was handed over is gone for the sender.
    const clone: unknown = structuredClone(message, { transfer: [...transfer] })
    const to = this.peer
    if (to === undefined || this.#isClosed) return
    if (to.#listener === undefined) to.#waiting.push(clone)
    else to.#deliver(clone)
  }

  close(): void {
    this.#isClosed = true
    if (this.peer !== undefined) this.peer.#isClosed = true
  }

  #deliver(message: unknown): void {
    queueMicrotask(() => {
      if (!this.#isClosed) this.#listener?.(message)
    })
  }
}
