import { mutateBytes, spliced } from './mutate-bytes.ts'
import type { Random } from './random.ts'

/** Pieces of what the text parsers read, and of what confuses parsers of text. */
const TOKENS: readonly Uint8Array[] = [
  ...[
    '0',
    '1',
    '-1',
    '00',
    '7',
    '1e9',
    '0x10',
    '9'.repeat(15),
    '9'.repeat(30),
    '512',
    '4096',
    '65536',
    '2/7',
    '5%',
    '0.05',
    '1.5GiB',
  ],
  ...['.', '..', '/', '//', '\\', ':', '=', '--', '-', ' ', '\t', '\n', '\0', '%', '+', ',', '\r\n', '\\040'],
  ...[
    'latest',
    'latest:',
    'keepLast',
    'keepWithin',
    'keepTags',
    '--read-data',
    '--keep-daily',
    '--',
    '--help',
  ],
  ...['30d', '1y6m', '2w12h', 'y', 'm', 'w', 'd', 'h', 'k', 'M', 'GiB', 'NaN', 'Infinity', 'null', 'true'],
  ...[
    '__proto__',
    'constructor',
    'toString',
    'config',
    'packs/',
    'index/',
    'gc/',
    '.mark',
    '.sweep',
    '000000',
  ],
  ...['é', 'ﬁ', 'Ａ', '\u0000', '\u202e', '\ufeff', '\u{1f600}', 'İ', 'ſ', 'K', '٣', 'ß'.repeat(40)],
  ...[
    'Europe/Berlin',
    'UTC',
    '+23:59',
    'Etc/GMT+12',
    '2026-11-25T07:00:00Z',
    '+275760-09-13T00:00:00Z',
    '[',
    '{',
  ],
].map((text) => new Uint8Array(Buffer.from(text)))

/** Text, mutated by whole tokens and characters as well as by bytes. */
export function mutateText(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes = input
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(bytes.length + 1)
    const count = random.oneIn(2) ? 0 : Math.min(bytes.length - at, 1 + random.below(6))
    bytes = random.oneIn(3)
      ? mutateBytes(bytes, other, random)
      : spliced(bytes, at, count, random.pick(TOKENS))
  }
  return bytes.length > MAX_TEXT_BYTES ? bytes.subarray(0, MAX_TEXT_BYTES) : bytes
}

const MAX_TEXT_BYTES = 4096
