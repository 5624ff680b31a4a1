import { nodeFileSystem, type StoreFile, type StoreFileSystem } from '@platter/fs-adapters'

export type Call =
  | 'open'
  | 'link'
  | 'unlink'
  | 'mkdir'
  | 'readdir'
  | 'stat'
  | 'read'
  | 'writev'
  | 'sync'
  | 'fstat'
  | 'close'

export interface FaultPoint {
  /** The call that fails, counted over all calls from 0. */
  readonly index: number
  readonly code: string
  /** Whether it has its effect nevertheless, as when the answer of a server is lost. */
  readonly when: 'before' | 'after'
}

/** The file system of this machine, except that one call fails; writes may be short. */
export class FaultFileSystem implements StoreFileSystem {
  readonly log: { call: Call; path: string }[] = []
  readonly #fault: FaultPoint | undefined
  readonly #maxWriteBytes: number
  #armed = false

  constructor(fault?: FaultPoint, maxWriteBytes = Number.POSITIVE_INFINITY) {
    this.#fault = fault
    this.#maxWriteBytes = maxWriteBytes
  }

  /** Counting, logging and failing begin here, and end with {@link disarm}. */
  arm(): void {
    this.log.length = 0
    this.#armed = true
  }

  disarm(): void {
    this.#armed = false
  }

  async open(path: string, flags: number, mode?: number): Promise<StoreFile> {
    const file = await this.#run('open', path, () => nodeFileSystem.open(path, flags, mode))
    return {
      read: (into, offset, length, position) =>
        this.#run('read', path, () => file.read(into, offset, length, position)),
      writev: (parts, position) =>
        this.#run('writev', path, () => file.writev(this.#shorten(parts), position)),
      sync: () => this.#run('sync', path, () => file.sync()),
      stat: (options) => this.#run('fstat', path, () => file.stat(options)),
      close: () => this.#run('close', path, () => file.close()),
    }
  }

  link(existing: string, path: string): Promise<void> {
    return this.#run('link', path, () => nodeFileSystem.link(existing, path))
  }

  unlink(path: string): Promise<void> {
    return this.#run('unlink', path, () => nodeFileSystem.unlink(path))
  }

  mkdir(path: string, mode: number): Promise<unknown> {
    return this.#run('mkdir', path, () => nodeFileSystem.mkdir(path, mode))
  }

  readdir(path: string, options: { withFileTypes: true }) {
    return this.#run('readdir', path, () => nodeFileSystem.readdir(path, options))
  }

  stat(path: string, options: { bigint: true }) {
    return this.#run('stat', path, () => nodeFileSystem.stat(path, options))
  }

  async #run<T>(call: Call, path: string, effect: () => Promise<T>): Promise<T> {
    if (!this.#armed) return await effect()
    const isFaulty = this.log.length === this.#fault?.index
    this.log.push({ call, path })
    if (!isFaulty) return await effect()
    const error = systemError(this.#fault?.code as string, call)
    if (this.#fault?.when === 'before') {
      // A descriptor is closed even by a close that reports an error.
      if (call === 'close') await effect()
      throw error
    }
    const result = await effect()
    if (call === 'open') await (result as StoreFile).close()
    throw error
  }

  #shorten(parts: Uint8Array[]): Uint8Array[] {
    let left = this.#maxWriteBytes
    const shorter: Uint8Array[] = []
    for (const part of parts) {
      if (left <= 0) break
      shorter.push(part.subarray(0, left))
      left -= part.length
    }
    return shorter
  }
}

export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: injected, ${syscall}`), { code, syscall, errno: -1 })
}
