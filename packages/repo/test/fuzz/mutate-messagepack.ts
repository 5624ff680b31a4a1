import { encode, type Items, type Node, parse, type Text } from './messagepack.ts'
import { mutateBytes } from './mutate-bytes.ts'
import type { Random } from './random.ts'

/**
 * Changes a record as a tree: types, lengths, nesting, keys. What is no tree, and one in three otherwise, is changed as
 * the bytes that it is.
 */
export function mutateMessagePack(input: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const tree = random.oneIn(3) ? undefined : parse(input)
  if (tree === undefined) return mutateBytes(input, other, random)
  let changed = tree
  for (let left = 1 + random.below(3); left > 0; left--) {
    const state = { left: random.below(countOf(changed)) }
    changed = replaced(changed, state, (node) => mutated(node, other, random))
  }
  const bytes = encode(changed)
  return random.oneIn(10) ? mutateBytes(bytes, other, random) : bytes
}

function countOf(node: Node): number {
  return 'items' in node ? node.items.reduce((sum, item) => sum + countOf(item), 1) : 1
}

/** The tree with its node numbered `state.left` replaced. */
function replaced(node: Node, state: { left: number }, change: (node: Node) => Node): Node {
  if (state.left-- === 0) return change(node)
  if (!('items' in node)) return node
  return { ...node, items: node.items.map((item) => (state.left < 0 ? item : replaced(item, state, change))) }
}

function mutated(node: Node, other: Uint8Array, random: Random): Node {
  if (random.oneIn(4)) return anyNode(other, random)
  if (node.kind === 'atom') return random.pick(ATOMS)
  return 'items' in node ? mutatedItems(node, other, random) : mutatedText(node, other, random)
}

function mutatedText(node: Text, other: Uint8Array, random: Random): Node {
  const { kind, bytes } = node
  switch (random.below(6)) {
    case 0:
      return { kind: kind === 'string' ? 'binary' : 'string', bytes }
    case 1:
      return { kind, bytes, declared: random.pick(LENGTHS) }
    case 2:
      return { kind, bytes: new Uint8Array(random.pick([0, 1, 15, 16, 31, 32, 33, 64, 65, 255, 5000])) }
    case 3:
      return { kind, bytes: random.pick(NAMES) }
    case 4: // a record within the record, as key slots have one
      return { kind, bytes: mutateMessagePack(bytes, other, random) }
    default:
      return { kind, bytes: mutateBytes(bytes, other, random) }
  }
}

function mutatedItems(node: Items, other: Uint8Array, random: Random): Node {
  const { kind, items } = node
  const step = kind === 'map' ? 2 : 1
  const at = random.below(items.length / step) * step
  const here = items.slice(at, at + step)
  switch (random.below(7)) {
    case 0: // one left out
      return { kind, items: [...items.slice(0, at), ...items.slice(at + step)] }
    case 1: // a key twice, an item often
      return {
        kind,
        items: [...items, ...Array.from({ length: random.pick([1, 2, 100]) }, () => here).flat()],
      }
    case 2:
      return { kind, items, declared: random.pick(LENGTHS) }
    case 3:
      return { kind: kind === 'map' ? 'array' : 'map', items }
    case 4: // under another name
      return {
        kind,
        items: [...items.slice(0, at), { kind: 'string', bytes: random.pick(NAMES) }, ...items.slice(at + 1)],
      }
    case 5: // other values of the same names
      return {
        kind,
        items: items.map((item, i) =>
          i % step === step - 1 && random.oneIn(3) ? anyNode(other, random) : item,
        ),
      }
    default:
      return {
        kind,
        items: [...items, { kind: 'string', bytes: random.pick(NAMES) }, anyNode(other, random)],
      }
  }
}

function anyNode(other: Uint8Array, random: Random): Node {
  switch (random.below(6)) {
    case 0:
    case 1:
    case 2:
      return random.pick(ATOMS)
    case 3:
      return nested(random.pick(['array', 'map']), random.pick([1, 3, 15, 16, 17, 18, 1000]))
    case 4:
      return parse(other) ?? random.pick(ATOMS)
    default:
      return { kind: random.pick(['string', 'binary']), bytes: random.pick(NAMES) }
  }
}

function nested(kind: 'array' | 'map', depth: number): Node {
  let node: Node = { kind, items: [] }
  const key: Node = { kind: 'string', bytes: new Uint8Array(0) }
  for (let i = 0; i < depth; i++) node = { kind, items: kind === 'map' ? [key, node] : [node] }
  return node
}

const LENGTHS: readonly number[] = [0, 1, 15, 16, 255, 65_535, 65_536, 1_048_577, 0x7fff_ffff, 0xffff_ffff]

const ATOMS: readonly Node[] = [
  ...[
    [0xc0],
    [0xc1],
    [0xc2],
    [0xc3],
    [0],
    [1],
    [0x7f],
    [0xe0],
    [0xff],
    [0xcc, 255],
    [0xcd, 0, 1],
    [0xd0, 128],
  ],
  ...[
    [0xce, 255, 255, 255, 255],
    [0xd2, 128, 0, 0, 0],
    [0xca, 0x7f, 0xc0, 0, 0],
    [0xca, 0x4b, 0x80, 0, 1],
  ],
  // Integers of 64 bits: 2^53 - 1, 2^53, the largest, the smallest.
  ...[
    [0xcf, 0, 0x1f, 255, 255, 255, 255, 255, 255],
    [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0],
  ],
  ...[
    [0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
    [0xd3, 128, 0, 0, 0, 0, 0, 0, 0],
  ],
  // Of float 64: NaN, infinity, -0, 2^53, 0.5, the smallest.
  ...[
    [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
    [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
    [0xcb, 128, 0, 0, 0, 0, 0, 0, 0],
  ],
  ...[
    [0xcb, 0x43, 0x40, 0, 0, 0, 0, 0, 0],
    [0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0],
    [0xcb, 0, 0, 0, 0, 0, 0, 0, 1],
  ],
  // Extensions: a time, a record definition of msgpackr, undefined, something of its own.
  ...[
    [0xd6, 0xff, 0, 0, 0, 0],
    [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61],
    [0xd4, 0, 0],
    [0xc7, 4, 1, 1, 2, 3, 4],
  ],
].map((bytes) => ({ kind: 'atom', bytes: Uint8Array.from(bytes) }))

const NAMES: readonly Uint8Array[] = [
  ...['', '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', 'toJSON', 'then'],
  ...[
    'version',
    'name',
    'time',
    'kind',
    'sealed',
    'ranges',
    'scrypt',
    'key-file',
    'aligned',
    'none',
    '\ufeffbom',
  ],
  ...[
    'x'.repeat(255),
    'ä'.repeat(40),
    '\ufeff'.repeat(30),
    '\0',
    'snapshots/00000000000000000000000000000000',
  ],
]
  .map((text) => new Uint8Array(Buffer.from(text)))
  // Not UTF-8: cut short, a surrogate, overlong.
  .concat([
    Uint8Array.of(0xe2, 0x82),
    Uint8Array.of(0xed, 0xa0, 0x80),
    Uint8Array.of(0xc0, 0x80),
    new Uint8Array(70).fill(0xff),
  ])
