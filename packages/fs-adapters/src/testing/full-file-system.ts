import {
  nodeFileSystem,
  type StoreDirent,
  type StoreFile,
  type StoreFileStat,
  type StoreFileSystem,
} from '../stores/store-file-system.ts'
import { systemError } from './fault-file-system.ts'

/**
 * A file system with room for so many more bytes. A write that does not fit is short, the next one fails with
 * ENOSPC; what is removed makes room again. Names and folders cost nothing.
 */
export class FullFileSystem implements StoreFileSystem {
  /** Bytes that can still be written. */
  freeBytes: number
  readonly #inner: StoreFileSystem

  constructor(freeBytes: number = Number.POSITIVE_INFINITY, inner: StoreFileSystem = nodeFileSystem) {
    this.freeBytes = freeBytes
    this.#inner = inner
  }

  async open(path: string, flags: number, mode?: number): Promise<StoreFile> {
    const file = await this.#inner.open(path, flags, mode)
    return {
      read: (into, offset, length, position) => file.read(into, offset, length, position),
      writev: async (parts, position) => {
        const fitting = this.#fitting(parts)
        if (fitting.length === 0 && parts.length > 0) throw systemError('ENOSPC', 'write')
        return await file.writev(fitting, position)
      },
      sync: () => file.sync(),
      stat: (options) => file.stat(options),
      close: () => file.close(),
    }
  }

  link(existing: string, path: string): Promise<void> {
    return this.#inner.link(existing, path)
  }

  async unlink(path: string): Promise<void> {
    const stat = await this.#inner.stat(path, { bigint: true }).catch(() => undefined)
    await this.#inner.unlink(path)
    if (stat?.nlink === 1n) this.freeBytes += Number(stat.size)
  }

  mkdir(path: string, mode: number): Promise<unknown> {
    return this.#inner.mkdir(path, mode)
  }

  readdir(path: string, options: { withFileTypes: true }): Promise<StoreDirent[]> {
    return this.#inner.readdir(path, options)
  }

  stat(path: string, options: { bigint: true }): Promise<StoreFileStat> {
    return this.#inner.stat(path, options)
  }

  /** What of `parts` there is room for; the room is taken. */
  #fitting(parts: readonly Uint8Array[]): Uint8Array[] {
    const fitting: Uint8Array[] = []
    for (const part of parts) {
      const taken = part.subarray(0, this.freeBytes)
      if (taken.length > 0) fitting.push(taken)
      this.freeBytes -= taken.length
      if (taken.length < part.length) break
    }
    return fitting
  }
}
