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
  /** All was done, and something is wrong with the data: damage found, or bad ranges in the source. */
  findings: 3,
})

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
