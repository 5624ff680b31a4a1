import type { RandomStream } from './random-stream.ts'

/** What a disk writes in one piece. */
const SECTOR_BYTES = 512

/** One change of an entry that no sync has made durable yet. */
interface EntryChange {
  readonly name: string
  readonly inode: Inode | undefined
}

/** A file or folder, as the page cache has it and as the disk has it. */
export class Inode {
  readonly number: number
  readonly isFolder: boolean
  mtimeMillis: number
  links = 0
  /** Of a file: what a read gives. */
  cached: Uint8Array = new Uint8Array(0)
  #durable: Uint8Array = new Uint8Array(0)
  /** A sync of it failed: the kernel has dropped what it could not write, and says nothing of it later. */
  #isLost = false
  /** Of a folder: what stands in it. */
  readonly entries = new Map<string, Inode>()
  readonly #durableEntries = new Map<string, Inode>()
  #changes: EntryChange[] = []

  constructor(number: number, isFolder: boolean, mtimeMillis: number) {
    this.number = number
    this.isFolder = isFolder
    this.mtimeMillis = mtimeMillis
  }

  write(bytes: Uint8Array, position: number): void {
    const longer = new Uint8Array(Math.max(this.cached.length, position + bytes.length))
    longer.set(this.cached)
    longer.set(bytes, position)
    this.cached = longer
  }

  set(name: string, inode: Inode | undefined): void {
    const before = this.entries.get(name)
    if (before !== undefined) before.links--
    if (inode === undefined) this.entries.delete(name)
    else {
      this.entries.set(name, inode)
      inode.links++
    }
    this.#changes.push({ name, inode })
  }

  /** Makes content or entries durable; not the entry under which the file itself stands. */
  sync(): void {
    for (const { name, inode } of this.#changes.splice(0)) {
      if (inode === undefined) this.#durableEntries.delete(name)
      else this.#durableEntries.set(name, inode)
    }
    if (!this.#isLost) this.#durable = this.cached
  }

  failToSync(): void {
    if (!this.isFolder) this.#isLost = true
  }

  /** What of it is there after the power has failed. Entries arrive on the disk in any order, each or not. */
  losePower(random: RandomStream): void {
    this.#isLost = false
    if (!this.isFolder) {
      this.cached = this.cached === this.#durable ? this.cached : torn(this.#durable, this.cached, random)
      this.#durable = this.cached
      return
    }
    const byName = new Map<string, EntryChange[]>()
    for (const change of this.#changes.splice(0))
      byName.set(change.name, [...(byName.get(change.name) ?? []), change])
    for (const changes of byName.values()) {
      const last = changes[random.below(changes.length + 1) - 1]
      if (last === undefined) continue
      if (last.inode === undefined) this.#durableEntries.delete(last.name)
      else this.#durableEntries.set(last.name, last.inode)
    }
    this.entries.clear()
    for (const [name, inode] of this.#durableEntries) this.entries.set(name, inode)
  }

  /** A copy with everything below it; `copies` has those that are made already, for files with several names. */
  copy(copies: Map<Inode, Inode>): Inode {
    const known = copies.get(this)
    if (known !== undefined) return known
    const copy = new Inode(this.number, this.isFolder, this.mtimeMillis)
    copies.set(this, copy)
    copy.links = this.links
    // Content is never changed in place.
    copy.cached = this.cached
    copy.#durable = this.#durable
    copy.#isLost = this.#isLost
    for (const [name, inode] of this.entries) copy.entries.set(name, inode.copy(copies))
    for (const [name, inode] of this.#durableEntries) copy.#durableEntries.set(name, inode.copy(copies))
    copy.#changes = this.#changes.map(({ name, inode }) => ({ name, inode: inode?.copy(copies) }))
    return copy
  }
}

/** A file that was being written: as it was, whole, cut short, or with sectors that never arrived. */
function torn(durable: Uint8Array, cached: Uint8Array, random: RandomStream): Uint8Array {
  const kind = random.weighted({ old: 2, whole: 1, short: 2, holes: 2 })
  if (kind === 'old') return durable
  if (kind === 'whole') return cached
  if (kind === 'short') return cached.slice(0, random.below(cached.length + 1))
  const bytes = cached.slice()
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
    if (random.chance(0.3)) bytes.fill(0, at, at + SECTOR_BYTES)
  }
  return bytes
}

/** A disk with one file system, whose root is the folder of the store. */
export class Disk {
  root: Inode
  #nextNumber = 2

  constructor(root = new Inode(1, true, 0)) {
    this.root = root
  }

  create(isFolder: boolean, mtimeMillis: number): Inode {
    return new Inode(this.#nextNumber++, isFolder, mtimeMillis)
  }

  copy(): Disk {
    const copy = new Disk(this.root.copy(new Map()))
    copy.#nextNumber = this.#nextNumber
    return copy
  }

  /** The machine is without power for a moment. */
  losePower(random: RandomStream): void {
    const seen = new Set<Inode>()
    const visit = (inode: Inode): void => {
      inode.links = seen.has(inode) ? inode.links + 1 : 1
      if (seen.has(inode)) return
      seen.add(inode)
      inode.losePower(random)
      for (const entry of inode.entries.values()) visit(entry)
    }
    visit(this.root)
  }
}
