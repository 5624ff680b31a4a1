import type { Dirent } from 'node:fs'
import { link, mkdir, open, readdir, stat, unlink } from 'node:fs/promises'

/** What {@link LocalStore} needs to know of a file or folder. */
export interface StoreFileStat {
  readonly dev: bigint
  readonly ino: bigint
  readonly nlink: bigint
  readonly size: bigint
  readonly mtimeMs: bigint
  isFile(): boolean
  isDirectory(): boolean
}

/** An open file or folder, as {@link LocalStore} uses it. A `FileHandle` of Node is one. */
export interface StoreFile {
  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>
  writev(parts: Uint8Array[], position: number): Promise<{ bytesWritten: number }>
  sync(): Promise<void>
  stat(options: { bigint: true }): Promise<StoreFileStat>
  close(): Promise<void>
}

/** An entry of a folder. */
export type StoreDirent = Pick<Dirent, 'name' | 'isFile' | 'isDirectory' | 'isSymbolicLink'>

/**
 * The calls {@link LocalStore} makes to the file system. They behave, and fail, as those of `node:fs/promises`;
 * tests put their own in place to let any of them fail.
 */
export interface StoreFileSystem {
  open(path: string, flags: number, mode?: number): Promise<StoreFile>
  link(existing: string, path: string): Promise<void>
  unlink(path: string): Promise<void>
  mkdir(path: string, mode: number): Promise<unknown>
  readdir(path: string, options: { withFileTypes: true }): Promise<StoreDirent[]>
  stat(path: string, options: { bigint: true }): Promise<StoreFileStat>
}

/** The file system of this machine. */
export const nodeFileSystem: StoreFileSystem = Object.freeze({ open, link, unlink, mkdir, readdir, stat })
