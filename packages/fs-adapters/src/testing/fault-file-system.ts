import {
  nodeFileSystem,
  type StoreDirent,
  type StoreFile,
  type StoreFileStat,
  type StoreFileSystem,
} from '../stores/store-file-system.ts'

/** A call of a {@link StoreFileSystem}, or of a file it has opened. */
export type FileSystemCall =
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

/** Which call fails, and how. */
export interface FaultPoint {
  /** Only calls of this kind are counted. Default: all. */
  readonly call?: FileSystemCall
  /** Only calls on paths that match are counted: which call comes when may differ from run to run. Default: all. */
  readonly path?: RegExp
  /** The call that is hit, counted from 0. */
  readonly index: number
  /** Error code of the system, such as 'EIO'. */
  readonly code: string
  /**
   * - 'before': it fails without any effect;
   * - 'after': it fails, but has had its effect, as when the answer of a server is lost;
   * - 'short': a read, a write or a listing does half of what it was asked, and says so or, the listing, does not.
   *   The next call of its kind fails with `code`, unless that is '';
   * - 'lost': a sync fails and what was written to the file is gone, although later syncs succeed. So does Linux: it
   *   drops pages that it could not write, and tells once.
   */
  readonly when: 'before' | 'after' | 'short' | 'lost'
  /** Whether all later calls that count fail as well. Default false. */
  readonly sticky?: boolean
}

/**
 * A file system of which one call, or all from one on, fail; writes may be short.
 *
 * @example
 * const fileSystem = new FaultFileSystem({ call: 'sync', index: 2, code: 'EIO', when: 'lost' })
 * const store = new LocalStore(path, { fileSystem })
 * fileSystem.arm()
 */
export class FaultFileSystem implements StoreFileSystem {
  /** The calls made since it was armed. */
  readonly log: { readonly call: FileSystemCall; readonly path: string }[] = []
  readonly #inner: StoreFileSystem
  readonly #fault: FaultPoint | undefined
  readonly #maxWriteBytes: number
  #armed = false
  #counted = 0
  #hit: { readonly call: FileSystemCall; readonly path: string } | undefined

  constructor(
    fault?: FaultPoint,
    maxWriteBytes: number = Number.POSITIVE_INFINITY,
    inner: StoreFileSystem = nodeFileSystem,
  ) {
    this.#fault = fault
    this.#maxWriteBytes = maxWriteBytes
    this.#inner = inner
  }

  /** The first call that was hit; undefined when none was. */
  get hit(): { readonly call: FileSystemCall; readonly path: string } | undefined {
    return this.#hit
  }

  /** Counting, logging and failing begin here, and end with {@link disarm}. */
  arm(): void {
    this.log.length = 0
    this.#counted = 0
    this.#hit = undefined
    this.#armed = true
  }

  disarm(): void {
    this.#armed = false
  }

  async open(path: string, flags: number, mode?: number): Promise<StoreFile> {
    const file = await this.#run('open', path, () => this.#inner.open(path, flags, mode))
    let writtenBytes = 0
    return {
      read: (into, offset, length, position) =>
        this.#run('read', path, (isShort) =>
          file.read(into, offset, isShort ? Math.ceil(length / 2) : length, position),
        ),
      writev: (parts, position) =>
        this.#run('writev', path, async (isShort) => {
          const most = isShort ? Math.ceil(bytesOf(parts) / 2) : this.#maxWriteBytes
          const written = await file.writev(beginningOf(parts, most), position)
          writtenBytes = Math.max(writtenBytes, position + written.bytesWritten)
          return written
        }),
      sync: () =>
        this.#run(
          'sync',
          path,
          () => file.sync(),
          async () => {
            if (writtenBytes > 0) await file.writev([new Uint8Array(writtenBytes)], 0)
          },
        ),
      stat: (options) => this.#run('fstat', path, () => file.stat(options)),
      close: () => this.#run('close', path, () => file.close()),
    }
  }

  link(existing: string, path: string): Promise<void> {
    return this.#run('link', path, () => this.#inner.link(existing, path))
  }

  unlink(path: string): Promise<void> {
    return this.#run('unlink', path, () => this.#inner.unlink(path))
  }

  mkdir(path: string, mode: number): Promise<unknown> {
    return this.#run('mkdir', path, () => this.#inner.mkdir(path, mode))
  }

  readdir(path: string, options: { withFileTypes: true }): Promise<StoreDirent[]> {
    return this.#run('readdir', path, async (isShort) => {
      const entries = await this.#inner.readdir(path, options)
      return isShort ? entries.slice(0, Math.floor(entries.length / 2)) : entries
    })
  }

  stat(path: string, options: { bigint: true }): Promise<StoreFileStat> {
    return this.#run('stat', path, () => this.#inner.stat(path, options))
  }

  /**
   * @param effect what the call does; told whether to do half of it.
   * @param lose what a sync that loses data does.
   */
  async #run<T>(
    call: FileSystemCall,
    path: string,
    effect: (isShort: boolean) => Promise<T>,
    lose?: () => Promise<void>,
  ): Promise<T> {
    const when = this.#count(call, path)
    if (when === undefined) return await effect(false)
    if (when === 'short') return await effect(true)
    const error = systemError(this.#fault?.code as string, call)
    if (when === 'lost') await lose?.()
    if (when === 'before' || when === 'lost') {
      // A descriptor is closed even by a close that reports an error.
      if (call === 'close') await effect(false)
      throw error
    }
    const result = await effect(false)
    if (call === 'open') await (result as StoreFile).close()
    throw error
  }

  /** Notes a call and says how it fails; undefined when it does not. */
  #count(call: FileSystemCall, path: string): FaultPoint['when'] | undefined {
    if (!this.#armed) return undefined
    this.log.push({ call, path })
    const fault = this.#fault
    if (fault === undefined || (fault.call !== undefined && fault.call !== call)) return undefined
    if (fault.path?.test(path) === false) return undefined
    const past = this.#counted++ - fault.index
    if (past < 0) return undefined
    this.#hit ??= { call, path }
    if (past === 0) return fault.when
    if (fault.when !== 'short') return fault.sticky ? fault.when : undefined
    // A disk that is full takes a part of what is written, and then nothing.
    if (fault.code !== '' && (past === 1 || fault.sticky)) return 'before'
    return fault.sticky ? 'short' : undefined
  }
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0)
}

/** The first `mostBytes` of `parts`. */
function beginningOf(parts: readonly Uint8Array[], mostBytes: number): Uint8Array[] {
  let left = mostBytes
  const shorter: Uint8Array[] = []
  for (const part of parts) {
    if (left <= 0) break
    shorter.push(part.subarray(0, left))
    left -= part.length
  }
  return shorter
}

/** An error as the system calls of Node throw them. */
export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: injected, ${syscall}`), { code, syscall, errno: -1 })
}
