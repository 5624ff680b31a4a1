/** An input that once was dealt with wrongly. Each is tried before all others. */
export interface Regression {
  readonly target: string
  /** What came of it. */
  readonly what: string
  readonly input: Uint8Array
}

export const REGRESSIONS: readonly Regression[] = [
  {
    target: 'overlay-header',
    what: 'blocks of 2 GiB were taken, of which writing a byte would have held one in memory',
    input: new Uint8Array(Buffer.from('504c54524f564c31000000800000000002000000010000006b', 'hex')),
  },
]
