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
    input: fromHex('504c54524f564c31000000800000000002000000010000006b'),
  },
  {
    target: 'codec-zstd',
    what: 'a decoder went through 98 302 sequences that were not there: 110 s',
    input: fromHex('a086010028b52ffda0a086010040000001010101010101014d000000ffffff5400003401'),
  },
  {
    target: 'codec-zstd',
    what: 'a decoder would have read weights for ever',
    input: fromHex('e803000028b52ffda0e803000055000012800104f003ffff0100'),
  },
]

function fromHex(digits: string): Uint8Array {
  return new Uint8Array(Buffer.from(digits, 'hex'))
}
