import { isDeepStrictEqual } from 'node:util'
import {
  createHasher,
  encodeRecord,
  openRecord,
  PlatterError,
  plainRecords,
  RECORD_TYPE,
  type RecordType,
  type SnapshotId,
  SUITE,
  sealRecord,
} from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { decodeConfig } from '../dist/config/config-record.js'
import { decodeIndexSegment } from '../dist/format/index-segment.js'
import { readPackDirectory, readPackTrailer } from '../dist/format/pack-file.js'
import { decodeSnapshot, isFence } from '../dist/format/snapshot-record.js'
import { decodeNode, encodeNode } from '../dist/format/tree-node.js'
import { chunkIndexOf } from '../dist/index/chunk-index-builder.js'
import { backUp, codeOfCall, diskImage, newRepository, noise, objectNames } from './adversity.ts'
import { RECORD_KINDS } from './record-kinds.ts'

const store = new MemoryStore()
const SNAPSHOT = (await backUp(await newRepository(store), diskImage('fuzz'))).id
const INDEX = (await objectNames(store, 'index/'))[0]!
const PACK = (await objectNames(store, 'packs/'))[0]!
const RUNS = 1500
const ROUND_TRIPS = 300

/** A change of a byte string: bits, bytes and numbers altered, pieces left out, put in or repeated. */
interface Mutation {
  readonly kind: 'flip' | 'set' | 'large' | 'cut' | 'insert' | 'repeat' | 'end'
  readonly at: number
  readonly value: number
}

const mutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('flip', 'set', 'large', 'cut', 'insert', 'repeat', 'end'),
    at: fc.nat(),
    value: fc.nat(),
  }),
  { minLength: 1, maxLength: 4 },
)

function mutated(bytes: Uint8Array, changes: readonly Mutation[]): Uint8Array {
  let result = [...bytes]
  for (const { kind, at: anywhere, value } of changes) {
    const at = anywhere % (result.length + 1)
    const count = 1 + (value % 40)
    if (kind === 'flip' && at < result.length) result[at]! ^= 1 << (value % 8)
    if (kind === 'set' && at < result.length) result[at] = value & 0xff
    // Numbers of 32 bits as they hurt: the largest, the largest positive, and nearly so.
    if (kind === 'large') result.splice(at, 4, 0xff, 0xff, 0xff, value % 2 === 0 ? 0xff : 0x7f)
    if (kind === 'cut') result.splice(at, count)
    if (kind === 'insert') result.splice(at, 0, ...noise(`${value}`, count))
    if (kind === 'repeat') result.splice(at, 0, ...result.slice(at, at + count))
    if (kind === 'end') result = result.slice(0, at)
  }
  return new Uint8Array(result)
}

/** Whether a call succeeds or fails with a PlatterError, in little processor time (other programs take none of it). */
function isTyped(call: () => unknown): boolean {
  const started = process.cpuUsage()
  const code = codeOfCall(call)
  const { user } = process.cpuUsage(started)
  if (user > 2_000_000) throw new Error(`It took ${user} µs.`)
  return !code.startsWith('untyped')
}

function sealed(type: RecordType, name: string, payload: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat(sealRecord(type, name, payload)))
}

/** A record by itself, and what reads it. */
interface RecordCase {
  readonly what: string
  readonly type: RecordType
  readonly name: string
  readonly bytes: Uint8Array
  readonly decode: (bytes: Uint8Array) => unknown
}

const RECORDS: readonly RecordCase[] = [
  {
    what: 'config',
    type: RECORD_TYPE.config,
    name: 'config',
    bytes: await store.get('config'),
    decode: decodeConfig,
  },
  {
    what: 'snapshot',
    type: RECORD_TYPE.snapshot,
    name: `snapshots/${SNAPSHOT}`,
    bytes: await store.get(`snapshots/${SNAPSHOT}`),
    decode: (bytes) => decodeSnapshot(SNAPSHOT, bytes, plainRecords),
  },
  {
    what: 'index segment',
    type: RECORD_TYPE.index,
    name: INDEX,
    bytes: await store.get(INDEX),
    decode: (bytes) => useIndex(bytes),
  },
  ...RECORD_KINDS.map(({ what, type, name, sample, encode, decode }) => ({
    what,
    type,
    name,
    bytes: encode(sample),
    decode,
  })),
]

/** Decodes a segment and looks every entry up, as a restore does. */
function useIndex(bytes: Uint8Array): void {
  const segment = decodeIndexSegment(INDEX, bytes, plainRecords)
  const index = chunkIndexOf([segment, segment])
  for (let i = 0; i < segment.entryCount; i++) {
    const { id, offset, storedBytes, pack } = segment.entry(i)
    const found = index.find(id)
    const place = index.location(found)
    const { fileBytes } = index.packs[place.pack]!
    if (place.offset + place.storedBytes > fileBytes || offset + storedBytes > segment.packs[pack]!.fileBytes)
      throw new Error('An entry reaches beyond its pack.')
    if (index.findNext(id, found) < 0) throw new Error('The second copy is not found.')
  }
}

test('an index segment whose ids do not ascend', async (t) => {
  const payload = openRecord(RECORD_TYPE.index, INDEX, await store.get(INDEX))
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const [entries, packs] = [view.getUint32(0, true), view.getUint32(4, true)]
  const idsAt = 16 + packs * 72
  const exchanged = (i: number, j: number): Uint8Array => {
    const bytes = payload.slice()
    // The whole rows, so that nothing but their order is wrong.
    for (const [at, width] of [
      [idsAt, 32],
      [idsAt + entries * 32, 4],
      [idsAt + entries * 36, 16],
    ] as const) {
      bytes.copyWithin(at + i * width, at + j * width, at + (j + 1) * width)
      bytes.set(payload.subarray(at + i * width, at + (i + 1) * width), at + j * width)
    }
    return sealed(RECORD_TYPE.index, INDEX, bytes)
  }
  t.ok(entries > 3)
  t.equal(
    codeOfCall(() => useIndex(exchanged(0, 0))),
    'success',
  )
  for (const [i, j] of [
    [0, 1],
    [entries - 2, entries - 1],
    [0, entries - 1],
  ] as const)
    t.equal(
      codeOfCall(() => useIndex(exchanged(i, j))),
      'ERR_CORRUPT_INDEX',
      `${i} and ${j}`,
    )
  const twice = payload.slice()
  twice.copyWithin(idsAt + 32, idsAt, idsAt + 32)
  t.equal(
    codeOfCall(() => useIndex(sealed(RECORD_TYPE.index, INDEX, twice))),
    'success',
    'an id may occur twice',
  )
})

for (const { what, type, name, bytes: right, decode } of RECORDS) {
  test(`wrong content under a right checksum: ${what}`, { timeout: 60_000 }, (t) => {
    const payload = openRecord(type, name, right)
    t.equal(
      codeOfCall(() => decode(sealed(type, name, payload))),
      'success',
    )
    fc.assert(
      fc.property(mutations, (changes) =>
        isTyped(() => decode(sealed(type, name, mutated(payload, changes)))),
      ),
      { numRuns: RUNS },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) =>
        isTyped(() => decode(sealed(type, name, bytes))),
      ),
      { numRuns: RUNS },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const code = codeOfCall(() => decode(bytes))
        return code.startsWith('ERR_CORRUPT_')
      }),
      { numRuns: RUNS },
    )
    // As a record of another kind, or under another name, it is refused.
    for (const other of Object.values(RECORD_TYPE)) {
      if (other !== type)
        t.match(
          codeOfCall(() => decode(sealed(other, name, payload))),
          /^ERR_CORRUPT_/,
        )
    }
    t.match(
      codeOfCall(() => decode(sealed(type, `${name}x`, payload))),
      /^ERR_CORRUPT_/,
    )
    t.end()
  })
}

for (const { what, type, name, sample, values, encode, decode } of RECORD_KINDS) {
  test(`what is encoded is decoded: ${what}`, { timeout: 60_000 }, (t) => {
    t.same(decode(encode(sample)), sample)
    fc.assert(
      fc.property(values, (value) => isDeepStrictEqual(decode(encode(value)), value)),
      { numRuns: ROUND_TRIPS },
    )
    // Whatever is taken is something that could have been written.
    const payload = openRecord(type, name, encode(sample))
    fc.assert(
      fc.property(mutations, (changes) => {
        const bytes = sealed(type, name, mutated(payload, changes))
        if (codeOfCall(() => decode(bytes)) !== 'success') return true
        const value = decode(bytes)
        return isDeepStrictEqual(decode(encode(value)), value)
      }),
      { numRuns: RUNS },
    )
    t.end()
  })
}

test('records of prunes and repairs that say what cannot be', (t) => {
  for (const { what, name, type, impossible, decode } of RECORD_KINDS) {
    for (const [problem, payload] of Object.entries(impossible))
      t.match(
        codeOfCall(() => decode(sealed(type, name, encodeRecord(payload)))),
        /^ERR_(CORRUPT_RECORD|UNSUPPORTED_VERSION)$/,
        `${what}: ${problem}`,
      )
  }
  t.end()
})

test('records that nest, repeat keys or promise much', (t) => {
  const name = `snapshots/${SNAPSHOT}`
  const payloads: Record<string, Uint8Array> = {
    nothing: new Uint8Array(0),
    'a list': encodeRecord([1, 2]),
    'a number': encodeRecord(7),
    'a map of 2^32 - 1 items': Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff),
    'a list of 2^32 - 1 items': Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff),
    'text of 4 GiB': Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff),
    'lists in lists': new Uint8Array(1_000_000).fill(0x91),
    'maps in maps': new Uint8Array(1_000_000).fill(0x81),
    'an extension': Uint8Array.of(0xc7, 1, 1, 1),
    'a record extension': Uint8Array.of(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61),
    'a key that is a number': Uint8Array.of(0x81, 1, 1),
    'a key called __proto__': encodeRecord(JSON.parse('{"__proto__": {"version": 1}}')),
    'bytes behind it': new Uint8Array([...encodeRecord({}), 0]),
    'a reserved byte': Uint8Array.of(0xc1),
  }
  for (const [what, payload] of Object.entries(payloads)) {
    const bytes = sealed(RECORD_TYPE.snapshot, name, payload)
    const started = performance.now()
    t.equal(
      codeOfCall(() => decodeSnapshot(SNAPSHOT, bytes, plainRecords)),
      'ERR_CORRUPT_SNAPSHOT',
      what,
    )
    t.ok(performance.now() - started < 1000, 'at once')
    const config = sealed(RECORD_TYPE.config, 'config', payload)
    t.equal(
      codeOfCall(() => decodeConfig(config)),
      'ERR_CORRUPT_CONFIG',
      what,
    )
  }
  t.equal(({} as { version?: number }).version, undefined, 'no prototype was changed')
  t.end()
})

test('what is no fence is not taken for one', async (t) => {
  const id = SNAPSHOT as SnapshotId
  const name = `snapshots/${id}`
  t.equal(isFence(id, await store.get(name), plainRecords), false)
  t.equal(isFence(id, new Uint8Array(0), plainRecords), false)
  t.equal(isFence(id, sealed(RECORD_TYPE.fence, 'snapshots/other', encodeRecord({})), plainRecords), false)
  t.equal(isFence(id, sealed(RECORD_TYPE.fence, name, encodeRecord({})), plainRecords), true)
})

test('a pack with a wrong directory under a right hash', { timeout: 60_000 }, async (t) => {
  const file = await store.get(PACK)
  const header = file.subarray(0, 64)
  const { directoryOffset } = readPackTrailer(file.subarray(-64), file.length, PACK, SUITE.none)
  const end = file.subarray(directoryOffset)
  const hasher = createHasher()
  /** Directory and trailer with a hash that fits. */
  const fixed = (head: Uint8Array, bytes: Uint8Array): Uint8Array => {
    const result = bytes.slice()
    if (result.length < 64) return result
    const at = result.length - 64
    result.set(hasher.hashParts([head, result.subarray(0, at + 24)]), at + 24)
    result.set(end.subarray(-8), result.length - 8)
    return result
  }
  const read = (head: Uint8Array, tail: Uint8Array, fileBytes: number): void => {
    for (const entry of readPackDirectory(head, tail, fileBytes, PACK, undefined)) {
      if (entry.offset < 64 || entry.offset + entry.storedBytes > fileBytes - tail.length)
        throw new Error('An entry reaches beyond the blobs.')
    }
  }
  t.equal(
    codeOfCall(() => read(header, fixed(header, end), file.length)),
    'success',
  )
  const later = header.slice()
  later[8] = 2
  t.equal(
    codeOfCall(() => read(later, fixed(later, end), file.length)),
    'ERR_UNSUPPORTED_VERSION',
  )
  later[8] = 1
  later[9] = 1
  t.equal(
    codeOfCall(() => read(later, fixed(later, end), file.length)),
    'ERR_CORRUPT_PACK',
    'encrypted, in a repository that is not',
  )
  later[9] = 2
  t.equal(
    codeOfCall(() => read(later, fixed(later, end), file.length)),
    'ERR_UNSUPPORTED_VERSION',
  )
  for (let bit = 0; bit < (64 + end.length) * 8; bit++) {
    const whole = new Uint8Array([...header, ...end])
    whole[bit >>> 3]! ^= 1 << (bit & 7)
    const code = codeOfCall(() => read(whole.subarray(0, 64), whole.subarray(64), file.length))
    if (code !== 'ERR_CORRUPT_PACK') t.fail(`bit ${bit}: ${code}`)
  }
  fc.assert(
    fc.property(mutations, fc.constantFrom(0, 1, -1, 48), (changes, more) => {
      const tail = fixed(header, mutated(end, changes))
      return isTyped(() => read(header, tail, directoryOffset + tail.length + more))
    }),
    { numRuns: RUNS },
  )
  fc.assert(
    fc.property(mutations, (changes) => {
      const head = mutated(header, changes)
      return isTyped(() => read(head, fixed(head, end), file.length))
    }),
    { numRuns: RUNS },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(1e9), (bytes, fileBytes) => {
      const code = codeOfCall(() => read(header, fixed(header, bytes), fileBytes))
      return code === 'ERR_CORRUPT_PACK' || (code === 'success' && bytes.length >= 64)
    }),
    { numRuns: RUNS },
  )
})

test('nodes with wrong content', { timeout: 60_000 }, (t) => {
  const leaf = encodeNode({
    level: 0,
    kinds: Uint8Array.of(0, 1, 0, 2, 0),
    spans: Uint32Array.of(8192, 65_536, 4096, 4096, 100),
    ids: noise('ids', 96),
  })
  const interior = encodeNode({
    level: 1,
    kinds: Uint8Array.of(0, 1, 0),
    spans: Uint32Array.of(1, 300, 1),
    ids: noise('ids', 64),
  })
  const use = (bytes: Uint8Array, level: number, span: number): void => {
    const node = decodeNode(bytes, level, span)
    const covered = node.spans.reduce((sum, length) => sum + length, 0)
    const stored = node.kinds.filter((kind) => kind === 0).length
    if (covered !== span || node.ids.length !== stored * 32) throw new Error('It is not what was asked for.')
  }
  t.equal(
    codeOfCall(() => use(leaf, 0, 82_020)),
    'success',
  )
  t.equal(
    codeOfCall(() => use(interior, 1, 302)),
    'success',
  )
  for (const [level, span] of [
    [1, 82_020],
    [0, 82_021],
    [0, 0],
    [5, 82_020],
    [255, 1],
    [0, Number.NaN],
  ])
    t.equal(
      codeOfCall(() => use(leaf, level!, span!)),
      'ERR_CORRUPT_NODE',
      `level ${level}, ${span}`,
    )
  for (const [bytes, level, span] of [
    [leaf, 0, 82_020],
    [interior, 1, 302],
  ] as const) {
    for (let length = 0; length < bytes.length; length++) {
      if (codeOfCall(() => use(bytes.subarray(0, length), level, span)) !== 'ERR_CORRUPT_NODE')
        t.fail(`${length} bytes`)
    }
    const isTypedNode = (altered: Uint8Array): boolean => {
      const code = codeOfCall(() => use(altered, level, span))
      if (code === 'ERR_UNSUPPORTED_VERSION') return altered[4] !== 1
      return code === 'ERR_CORRUPT_NODE' || code === 'success'
    }
    fc.assert(
      fc.property(mutations, (changes) => isTypedNode(mutated(bytes, changes))),
      { numRuns: RUNS },
    )
  }
  const random = fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(6), (bytes, level) => {
    const head = leaf.slice(0, 16)
    head[5] = level
    return isTyped(() => use(new Uint8Array([...head.subarray(0, 8), ...bytes]), level, 4096))
  })
  fc.assert(random, { numRuns: RUNS })
  // A hole restores as whole blocks, so it has to stand on their borders.
  for (const spans of [
    [100, 4096, 4096],
    [4096, 100, 4096],
    [4097, 4095, 4096],
  ]) {
    const bytes = encodeNode({
      level: 0,
      kinds: Uint8Array.of(0, 1, 0),
      spans: Uint32Array.from(spans),
      ids: noise('ids', 64),
    })
    const span = spans.reduce((sum, length) => sum + length, 0)
    t.equal(
      codeOfCall(() => use(bytes, 0, span)),
      'ERR_CORRUPT_NODE',
      spans.join(),
    )
  }
  t.end()
})

test('errors name the object', async (t) => {
  const bytes = await store.get(INDEX)
  bytes[100]! ^= 1
  try {
    decodeIndexSegment(INDEX, bytes, plainRecords)
    t.fail('It was taken.')
  } catch (error) {
    t.ok(error instanceof PlatterError)
    t.equal((error as PlatterError).details.object, INDEX)
    t.match((error as PlatterError).message, INDEX)
  }
})
