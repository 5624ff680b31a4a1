import { mkdirSync } from 'node:fs'
import { link, rm, truncate } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  nodeFileSystem,
  type StoreDirent,
  type StoreFile,
  type StoreFileStat,
  type StoreFileSystem,
} from '../stores/store-file-system.ts'

/** A change of a folder that is not durable yet. */
interface Entry {
  readonly folder: string
  /** Brings back what a power cut would leave. */
  undo(): Promise<void>
}

/**
 * A file system that can lose power: what was not synced is gone then. It is as forgetful as POSIX allows, and more
 * so than most file systems are: an entry of a folder is durable only when that folder was synced after the entry
 * was made, and the content of a file only when the file was.
 *
 * Files whose names begin with a dot, and what is in folders of such names, are left as they are.
 */
export class PowerCutFileSystem implements StoreFileSystem {
  readonly #inner: StoreFileSystem
  readonly #graveyard: string
  #removed = 0
  #entries: Entry[] = []
  /** Files written and not synced since. */
  readonly #dirty = new Set<string>()
  /** Names of files whose content was not durable when they were made. */
  readonly #torn = new Set<string>()

  /** @param graveyard folder on the same file system, where removed files are kept in case they come back. */
  constructor(graveyard: string, inner: StoreFileSystem = nodeFileSystem) {
    mkdirSync(graveyard, { recursive: true })
    this.#graveyard = graveyard
    this.#inner = inner
  }

  /** Takes back all that was not durable. No call may be under way. */
  async cutPower(): Promise<void> {
    const entries = this.#entries.reverse()
    this.#entries = []
    for (const entry of entries) await entry.undo()
    for (const path of this.#torn) await truncate(path, 0).catch(() => {})
    this.#torn.clear()
    this.#dirty.clear()
  }

  async open(path: string, flags: number, mode?: number): Promise<StoreFile> {
    const file = await this.#inner.open(path, flags, mode)
    return {
      read: (into, offset, length, position) => file.read(into, offset, length, position),
      writev: async (parts, position) => {
        this.#dirty.add(path)
        return await file.writev(parts, position)
      },
      sync: async () => {
        // What is changed while the sync runs may have come too late.
        const before = this.#entries.filter(({ folder }) => folder === path)
        await file.sync()
        this.#dirty.delete(path)
        if (before.length > 0) this.#entries = this.#entries.filter((entry) => !before.includes(entry))
      },
      stat: (options) => file.stat(options),
      close: () => file.close(),
    }
  }

  async link(existing: string, path: string): Promise<void> {
    await this.#inner.link(existing, path)
    if (this.#dirty.has(existing)) this.#torn.add(path)
    this.#note(path, () => rm(path, { force: true }))
  }

  async unlink(path: string): Promise<void> {
    if (isHidden(path)) return await this.#inner.unlink(path)
    const grave = join(this.#graveyard, String(this.#removed++))
    const isThere = await this.#inner.link(path, grave).then(
      () => true,
      () => false,
    )
    await this.#inner.unlink(path)
    if (isThere) this.#note(path, () => link(grave, path).catch(() => {}))
  }

  async mkdir(path: string, mode: number): Promise<unknown> {
    const made = await this.#inner.mkdir(path, mode)
    this.#note(path, () => rm(path, { recursive: true, force: true }))
    return made
  }

  readdir(path: string, options: { withFileTypes: true }): Promise<StoreDirent[]> {
    return this.#inner.readdir(path, options)
  }

  stat(path: string, options: { bigint: true }): Promise<StoreFileStat> {
    return this.#inner.stat(path, options)
  }

  #note(path: string, undo: () => Promise<void>): void {
    if (!isHidden(path)) this.#entries.push({ folder: dirname(path), undo })
  }
}

function isHidden(path: string): boolean {
  return path.split('/').some((part) => part.startsWith('.'))
}
