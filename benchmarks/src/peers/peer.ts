import type { Command } from '../measure/command.ts'
import type { ScenarioId } from '../scenarios/scenario.ts'

/** Folders of its own for one peer during one run; gone afterwards. */
export interface Site {
  readonly repo: string
  readonly home: string
}

/** An image to back up. */
export interface Image {
  readonly path: string
  readonly sizeBytes: number
  /** The non-zero blocks of the image alone; only A has it. */
  readonly packed?: string
  /** The root partition alone; only A has it, and only when a peer asked for it. */
  readonly rootPartition?: string
}

/** A program to compare with. Each command is one process, measured as a whole. */
export interface Peer {
  /** The name for `--only`. */
  readonly id: string
  readonly title: string
  /** What differs from the defaults of the program, for the report. */
  readonly settings: string
  /** Reads every zero of a sparse image. */
  readonly readsHoles: boolean
  readonly scenarios: readonly ScenarioId[]
  /** Its version, or `undefined` when it is not installed. */
  version(): Promise<string | undefined>
  /** The file that a backup of the image reads. */
  input(image: Image): string | undefined
  /** Makes a repository, and what else is needed before the first scenario; not measured. `image` is A. */
  create(site: Site, image: Image): readonly Command[]
  backup(site: Site, image: Image, archive: string): Command
  /** Reads the last archive of an image back to nowhere. */
  readBack?(site: Site, image: Image, archive: string): Command
  /** Restores the last archive of an image to a new file. */
  restore?(site: Site, image: Image, archive: string, target: string): Command
  /** Verifies all data of the repository. */
  check?(site: Site): Command
}

/** What every peer that keeps a history can do. */
export const REPOSITORY_SCENARIOS: readonly ScenarioId[] = Object.freeze([
  'first',
  'unchanged',
  'readback',
  'restore',
  'changed',
  'relaid',
  'check',
  'sparse',
])

/** The image file as such. */
export function wholeImage(image: Image): string {
  return image.path
}
