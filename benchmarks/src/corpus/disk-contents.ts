import type { Entry } from './entry.ts'
import { totalBytes } from './entry.ts'
import type { SourceDirectory } from './source-tree.ts'
import { shuffleDirectories } from './source-tree.ts'

/** Which files are on the three versions of a disk: A, B = A - removed + added, C = B. */
export interface DiskContents {
  readonly installed: readonly Entry[]
  readonly removed: readonly Entry[]
  readonly added: readonly Entry[]
}

/** The share of the data that is removed, and again added, between A and B. */
export const CHANGED_SHARE = 0.04

/**
 * Chooses files until a disk holds `dataBytes`, whole directories as far as they fit,
 * as packages come and go by directory.
 *
 * What the source tree cannot provide is made up: half text-like, half incompressible.
 */
export function chooseContents(tree: readonly SourceDirectory[], dataBytes: number): DiskContents {
  const changedBytes = Math.round(dataBytes * CHANGED_SHARE)
  const order = shuffleDirectories(tree, 'install')
  const installed = fill(order, dataBytes, '/opt/installed')
  const chosen = new Set(installed)
  const rest = order.map((directory) => without(directory, chosen))
  const added = fill(rest, changedBytes, '/opt/added')
  const removed = take(shuffleDirectories(groupByDirectory(installed), 'remove'), changedBytes)
  return { installed: inPathOrder(installed), removed: inPathOrder(removed), added: inPathOrder(added) }
}

/** Chooses made-up files only, for disks that need no source tree. */
export function chooseGeneratedContents(dataBytes: number): DiskContents {
  return chooseContents([], dataBytes)
}

/** The files of version B, in order of path. */
export function filesAfterChange(contents: DiskContents): Entry[] {
  const removed = new Set(contents.removed)
  return inPathOrder([...contents.installed.filter((entry) => !removed.has(entry)), ...contents.added])
}

/** The same files with their directories in another order, as another installer would write them. */
export function inOtherOrder(entries: readonly Entry[]): Entry[] {
  return shuffleDirectories(groupByDirectory(entries), 'reinstall').flatMap((directory) => directory.entries)
}

function fill(order: readonly SourceDirectory[], wantedBytes: number, madeUpAt: string): Entry[] {
  const found = take(order, wantedBytes)
  return [...found, ...makeUp(madeUpAt, wantedBytes - totalBytes(found))]
}

/** No file is larger than this share of what is wanted, so that a few large ones do not make up a disk. */
const LARGEST_FILE_SHARE = 1 / 16

/** Takes every file that still fits, in order. */
function take(order: readonly SourceDirectory[], wantedBytes: number): Entry[] {
  const taken: Entry[] = []
  let leftBytes = wantedBytes
  for (const entry of order.flatMap((directory) => directory.entries)) {
    if (entry.sizeBytes > Math.min(leftBytes, wantedBytes * LARGEST_FILE_SHARE)) continue
    taken.push(entry)
    leftBytes -= entry.sizeBytes
  }
  return taken
}

/** File sizes that recur, from a page to a large library; their mean is about a quarter of a MiB. */
const MADE_UP_SIZES = [900, 4_096, 9_000, 30_000, 61_440, 150_000, 410_000, 1_700_000]
const FILES_PER_DIRECTORY = 64

function makeUp(root: string, wantedBytes: number): Entry[] {
  const entries: Entry[] = []
  for (let leftBytes = wantedBytes, number = 0; leftBytes > 0; number++) {
    const sizeBytes = Math.min(leftBytes, MADE_UP_SIZES[(number * 5) % MADE_UP_SIZES.length]!)
    const directory = `${root}/${String(Math.floor(number / FILES_PER_DIRECTORY)).padStart(4, '0')}`
    const name = `file-${String(number).padStart(6, '0')}`
    // Sizes repeat every eight files: change the kind from one round to the next.
    const kind = (number + Math.floor(number / MADE_UP_SIZES.length)) % 2 === 0 ? 'text' : 'incompressible'
    entries.push({
      directory,
      name,
      sizeBytes,
      content: { from: 'generated', kind, seed: `${root}/${name}` },
    })
    leftBytes -= sizeBytes
  }
  return entries
}

function without(directory: SourceDirectory, chosen: ReadonlySet<Entry>): SourceDirectory {
  return { path: directory.path, entries: directory.entries.filter((entry) => !chosen.has(entry)) }
}

function groupByDirectory(entries: readonly Entry[]): SourceDirectory[] {
  const groups = new Map<string, Entry[]>()
  for (const entry of entries) {
    const group = groups.get(entry.directory)
    if (group === undefined) groups.set(entry.directory, [entry])
    else group.push(entry)
  }
  return [...groups].map(([path, grouped]) => ({ path, entries: grouped }))
}

function inPathOrder(entries: readonly Entry[]): Entry[] {
  const key = (entry: Entry) => `${entry.directory}/${entry.name}`
  return [...entries].sort((a, b) => (key(a) < key(b) ? -1 : 1))
}
