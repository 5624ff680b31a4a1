/** An input that once was dealt with wrongly. Each is tried before all others. */
export interface Regression {
  readonly target: string
  /** What came of it. */
  readonly what: string
  readonly input: Uint8Array
}

export const REGRESSIONS: readonly Regression[] = []
