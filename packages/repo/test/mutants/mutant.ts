import type { Plot } from '../simulation/profile.ts'
import type { Swept } from '../simulation/sweep.ts'
import type { SceneName } from '../simulation/switches.ts'

/** One change of a compiled file. */
export interface Edit {
  /** Path below `dist`. */
  readonly file: string
  /** A piece of code that is there exactly once. Any white space in it stands for any other. */
  readonly find: string
  readonly replace: string
  /** What the replacement has to import. */
  readonly imports?: string
}

/** Where a mutant is looked for, when it is not in random histories of all kinds. */
export type Ground =
  /** Random histories of one kind. */
  | { readonly plot: Plot }
  /** Every crash of one operation on a disk, with power cuts. */
  | { readonly sweep: Swept }
  /** A scene, played in every way. */
  | { readonly scene: SceneName }
  /** A test file, as it is built; one test of it, where it is named. */
  | TestGround

/** A test file that notices, or one test of it. */
export interface TestGround {
  readonly test: string
  readonly title?: string
}

/** The real code with one rule taken out. */
export interface Mutant {
  readonly name: string
  /** What it does that it must not. */
  readonly what: string
  readonly edits: readonly Edit[]
  /** Default: random histories. */
  readonly ground?: Ground
}
