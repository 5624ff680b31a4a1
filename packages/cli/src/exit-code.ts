/** What the command tells the shell. */
export const ExitCode: {
  readonly done: 0
  readonly failed: 1
  readonly usage: 2
  readonly findings: 3
} = Object.freeze({
  /** All was done. */
  done: 0,
  /** It failed or was interrupted. */
  failed: 1,
  /** The command line was wrong; nothing was tried. */
  usage: 2,
  /** It ran, but not all is well: damage found, bad ranges in the source, or a prune that waits for backups. */
  findings: 3,
})

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
