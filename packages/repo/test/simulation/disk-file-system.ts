import { constants } from 'node:fs'
import type { StoreDirent, StoreFile, StoreFileStat, StoreFileSystem } from '@platter/fs-adapters'
import type { Disk, Inode } from './disk.ts'

/** Where the store lies. */
export const STORE_PATH = '/store'

/** Has a call done, now or when a scheduler lets it. */
export type Perform = <Result>(call: FileCall, effect: () => Result) => Promise<Result>

/** A call to the file system. */
export interface FileCall {
  readonly label: string
  readonly changes: boolean
  /** What happens besides, when the call is made to fail. */
  readonly onFailure?: () => void
}

/** A file system on a simulated disk, for `LocalStore`. */
export class DiskFileSystem implements StoreFileSystem {
  readonly #disk: Disk
  readonly #perform: Perform
  readonly #nowMillis: () => number

  constructor(disk: Disk, perform: Perform, nowMillis: () => number) {
    this.#disk = disk
    this.#perform = perform
    this.#nowMillis = nowMillis
  }

  async open(path: string, flags: number): Promise<StoreFile> {
    const creates = (flags & constants.O_CREAT) !== 0
    const inode = await this.#perform({ label: `open ${short(path)}`, changes: creates }, () =>
      creates ? this.#create(path, false) : this.#find(path),
    )
    return {
      read: async (into, offset, length, position) => {
        const bytes = inode.cached.subarray(position, position + length)
        into.set(bytes, offset)
        return { bytesRead: bytes.length }
      },
      writev: async (parts, position) => {
        const bytes = Buffer.concat(parts)
        return await this.#perform({ label: `write ${short(path)}`, changes: true }, () => {
          inode.write(bytes, position)
          return { bytesWritten: bytes.length }
        })
      },
      sync: async () => {
        const call = { label: `sync ${short(path)}`, changes: true, onFailure: () => inode.failToSync() }
        await this.#perform(call, () => inode.sync())
      },
      stat: async () => statOf(inode),
      close: async () => {},
    }
  }

  link(existing: string, path: string): Promise<void> {
    return this.#perform({ label: `link ${short(path)}`, changes: true }, () => {
      const inode = this.#find(existing)
      const { folder, name } = this.#place(path)
      if (folder.entries.has(name)) throw systemError('EEXIST', path)
      folder.set(name, inode)
    })
  }

  unlink(path: string): Promise<void> {
    return this.#perform({ label: `unlink ${short(path)}`, changes: true }, () => {
      const { folder, name } = this.#place(path)
      const inode = folder.entries.get(name)
      if (inode === undefined) throw systemError('ENOENT', path)
      if (inode.isFolder) throw systemError('EISDIR', path)
      folder.set(name, undefined)
    })
  }

  mkdir(path: string): Promise<unknown> {
    return this.#perform({ label: `mkdir ${short(path)}`, changes: true }, () => this.#create(path, true))
  }

  readdir(path: string): Promise<StoreDirent[]> {
    return this.#perform({ label: `readdir ${short(path)}`, changes: false }, () => {
      const folder = this.#find(path)
      if (!folder.isFolder) throw systemError('ENOTDIR', path)
      return [...folder.entries].map(([name, { isFolder }]) => ({
        name,
        isFile: () => !isFolder,
        isDirectory: () => isFolder,
        isSymbolicLink: () => false,
      }))
    })
  }

  stat(path: string): Promise<StoreFileStat> {
    return this.#perform({ label: `stat ${short(path)}`, changes: false }, () => statOf(this.#find(path)))
  }

  #create(path: string, isFolder: boolean): Inode {
    const { folder, name } = this.#place(path)
    if (folder.entries.has(name)) throw systemError('EEXIST', path)
    const inode = this.#disk.create(isFolder, this.#nowMillis())
    folder.set(name, inode)
    return inode
  }

  #find(path: string): Inode {
    let inode = this.#disk.root
    for (const name of segments(path)) {
      if (!inode.isFolder) throw systemError('ENOTDIR', path)
      const next = inode.entries.get(name)
      if (next === undefined) throw systemError('ENOENT', path)
      inode = next
    }
    return inode
  }

  #place(path: string): { readonly folder: Inode; readonly name: string } {
    const names = segments(path)
    const name = names.pop()!
    const folder = this.#find([STORE_PATH, ...names].join('/'))
    if (!folder.isFolder) throw systemError('ENOTDIR', path)
    return { folder, name }
  }
}

export function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, '${path}'`), { code, errno: -1, syscall: 'simulated' })
}

function segments(path: string): string[] {
  return path
    .slice(STORE_PATH.length + 1)
    .split('/')
    .filter((segment) => segment !== '')
}

function short(path: string): string {
  return path.slice(STORE_PATH.length + 1)
}

function statOf(inode: Inode): StoreFileStat {
  return {
    dev: 1n,
    ino: BigInt(inode.number),
    nlink: BigInt(inode.links),
    size: BigInt(inode.cached.length),
    mtimeMs: BigInt(inode.mtimeMillis),
    isFile: () => !inode.isFolder,
    isDirectory: () => inode.isFolder,
  }
}
