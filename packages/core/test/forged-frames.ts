// zstd frames that no compressor makes, written from RFC 8878: well formed as far as they go, and as much work as they can be.

/** Bits, lowest first, as tables are stored. */
class Bits {
  readonly #bits: number[] = []

  put(value: number, count: number): this {
    for (let i = 0; i < count; i++) this.#bits.push(Math.floor(value / 2 ** i) % 2)
    return this
  }

  /** With zeros up to the next byte. */
  bytes(): Buffer {
    const bytes = Buffer.alloc(Math.ceil(this.#bits.length / 8))
    for (const [i, bit] of this.#bits.entries()) bytes[i >>> 3]! |= bit << (i & 7)
    return bytes
  }
}

/** A frame of these blocks that declares `rawLength` bytes. */
export function frameOf(rawLength: number, blocks: readonly Uint8Array[]): Uint8Array {
  const head = Buffer.from('28b52ffda000000000', 'hex')
  head.writeUInt32LE(rawLength, 5)
  return new Uint8Array(Buffer.concat([head, ...blocks]))
}

/** A block of kind 0 (as it is), 1 (one byte repeated) or 2 (compressed). */
export function blockOf(
  kind: 0 | 1 | 2,
  content: Uint8Array,
  isLast: boolean,
  bytes = content.length,
): Buffer {
  const head = Buffer.alloc(3)
  head.writeUIntLE((bytes << 3) | (kind << 1) | Number(isLast), 0, 3)
  return Buffer.concat([head, content])
}

/** 98 302 sequences of 65 539 bytes each, in 18 bytes. */
export function boundlessBlock(isLast: boolean): Buffer {
  const literals = Buffer.of(0)
  // Count, then one code for all: no literals, the offset used last, the longest match.
  const sequences = Buffer.of(255, 255, 255, 0x54, 0, 0, 52)
  return blockOf(2, Buffer.concat([literals, sequences, Buffer.of(1)]), isLast)
}

/** A sequence that takes a literal and repeats the byte before it three times; without the literal, or with bits to spare. */
export function shortBlock(isLast: boolean, literals: readonly number[], stream: number): Buffer {
  return blockOf(2, Buffer.of(literals.length << 3, ...literals, 1, 0x54, 1, 0, 0, stream), isLast)
}

/** Huffman weights that all follow from nothing: states that need no bits, so that weights would never end. */
export function endlessWeightsBlock(isLast: boolean): Buffer {
  // One symbol has all 32 states; the largest number is written as ones.
  const table = new Bits().put(0, 4).put(63, 6).bytes()
  const weights = Buffer.concat([table, Buffer.of(255, 255)])
  const literals = Buffer.concat([Buffer.of(weights.length), weights, Buffer.of(1)])
  const head = Buffer.alloc(3)
  head.writeUIntLE(2 | (1 << 4) | (literals.length << 14), 0, 3)
  return blockOf(2, Buffer.concat([head, literals, Buffer.of(0)]), isLast)
}

/** The largest tables of all four kinds, for a block of four bytes: a literal, and a match of three that repeats it. */
export function heavyTablesBlock(isLast: boolean, stream = 0b11): Buffer {
  // Weights 11 to 1, and one more that follows: codes of 1 to 11 bits. The stream is the code of the first symbol.
  const literals = Buffer.of(138, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10, stream)
  const head = Buffer.alloc(3)
  head.writeUIntLE(2 | (1 << 4) | (literals.length << 14), 0, 3)
  // Tables of 512, 256 and 512 states: the first says nothing of symbol 0, and gives all states to symbol 1, one literal;
  // the others give all to symbol 0, the offset used last and a match of three bytes.
  const tables = [
    new Bits().put(4, 4).put(1, 9).put(0, 2).put(1023, 10).bytes(),
    new Bits().put(3, 4).put(511, 9).bytes(),
    new Bits().put(4, 4).put(1023, 10).bytes(),
  ]
  const states = new Bits()
    .put(0, 9 + 8 + 9)
    .put(1, 1)
    .bytes()
  const sequences = Buffer.concat([Buffer.of(1, 0xa8), ...tables, states])
  return blockOf(2, Buffer.concat([head, literals, sequences]), isLast)
}
