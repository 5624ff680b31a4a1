// Records that writers, collectors and repairs leave for one another, and what may and may not be in them.
import {
  encodeRecord,
  type PackId,
  plainRecords,
  RECORD_TYPE,
  type RecordType,
  type RecordValue,
  type SessionId,
} from '@platter/core'
import type { ByteRange } from '@platter/repo'
import fc from 'fast-check'
import { decodeDamageMark, encodeDamageMark, encodeQuarantine } from '../dist/format/damage-record.js'
import {
  decodeFence,
  decodeMark,
  decodeSweep,
  encodeDone,
  encodeFence,
  encodeMark,
  encodeSweep,
  type FenceRecord,
  type MarkRecord,
  type SweepRecord,
} from '../dist/format/gc-records.js'
import { decodeSession, encodeSession, type SessionRecord } from '../dist/format/session-record.js'

/** A kind of record, what is in it, and what cannot be. */
export interface RecordKind {
  readonly what: string
  readonly type: RecordType
  readonly name: string
  readonly sample: unknown
  readonly values: fc.Arbitrary<unknown>
  /** Payloads that must be refused, by what is wrong with them. */
  readonly impossible: Readonly<Record<string, RecordValue>>
  readonly encode: (value: unknown) => Uint8Array
  readonly decode: (bytes: Uint8Array) => unknown
}

interface TypedKind<Value> extends Omit<RecordKind, 'sample' | 'values' | 'encode'> {
  readonly sample: Value
  readonly values: fc.Arbitrary<Value>
  readonly encode: (value: Value) => Uint8Array[]
  readonly decode: (bytes: Uint8Array) => Value
}

function kind<Value>({ encode, ...rest }: TypedKind<Value>): RecordKind {
  return { ...rest, encode: (value) => new Uint8Array(Buffer.concat(encode(value as Value))) }
}

/** An object as decoders give it, with a prototype. */
function record<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(fields, { noNullPrototype: true }) as fc.Arbitrary<T>
}

const SESSION = 'a1'.repeat(16) as SessionId
const hex = (digits: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: digits / 2, maxLength: digits / 2 })
    .map((bytes) => Buffer.from(bytes).toString('hex'))
const sessions = hex(32) as fc.Arbitrary<SessionId>
const packs = fc.array(hex(64) as fc.Arbitrary<PackId>, { maxLength: 6 })
const PACK = 'b2'.repeat(32) as PackId
const whole = fc.maxSafeNat()
const number = fc.integer({ min: 0, max: 999_999 }).map((n) => String(n).padStart(6, '0'))
const segments = fc.array(
  fc.tuple(sessions, number).map(([session, n]) => `index/${session}/${n}`),
  { maxLength: 4 },
)

const MARK = { version: 1, condemned: [], unlisted: [], openSessions: [], time: 0 }
const SWEEP = { version: 1, session: null, unreferenced: [], repacked: [], unlisted: [], segments: [] }
const NOT_PACKS = { 'a short pack id': [new Uint8Array(31)], 'a pack id in text': [PACK], 'no list': 7 }
const MANY = 100_001

const mark = kind<MarkRecord>({
  what: 'mark',
  type: RECORD_TYPE.mark,
  name: 'gc/9.mark',
  sample: {
    condemned: [PACK],
    unlisted: [PACK, PACK],
    openSessions: [{ session: SESSION, intent: 3 }],
    timeMillis: 1_790_000_000_000,
  },
  values: record({
    condemned: packs,
    unlisted: packs,
    openSessions: fc.array(record({ session: sessions, intent: whole }), { maxLength: 5 }),
    timeMillis: whole,
  }),
  impossible: {
    nothing: {},
    'another version': { ...MARK, version: 2 },
    ...withField(MARK, 'condemned', NOT_PACKS),
    ...withField(MARK, 'unlisted', NOT_PACKS),
    'more packs than one prune removes': {
      ...MARK,
      condemned: new Array(MANY).fill(Buffer.from(PACK, 'hex')),
    },
    'a session that is none': { ...MARK, openSessions: [{ session: 'x'.repeat(32), intent: 0 }] },
    'a session without an intent': { ...MARK, openSessions: [{ session: SESSION }] },
    'more sessions than are noted': {
      ...MARK,
      openSessions: new Array(10_001).fill({ session: SESSION, intent: 0 }),
    },
    'a time before 1970': { ...MARK, time: -1 },
    'half a millisecond': { ...MARK, time: 0.5 },
  },
  encode: (value) => encodeMark(9, value, plainRecords),
  decode: (bytes) => decodeMark(9, bytes, plainRecords),
})

const sweep = kind<SweepRecord>({
  what: 'sweep',
  type: RECORD_TYPE.sweep,
  name: 'gc/9.sweep',
  sample: {
    session: SESSION,
    packs: { unreferenced: [PACK], repacked: [PACK, PACK], unlisted: [] },
    segments: [`index/${SESSION}/000000`],
  },
  values: record({
    session: fc.option(sessions, { nil: undefined }),
    packs: record({ unreferenced: packs, repacked: packs, unlisted: packs }),
    segments,
  }),
  impossible: {
    nothing: {},
    'another version': { ...SWEEP, version: 0 },
    ...withField(SWEEP, 'unreferenced', NOT_PACKS),
    ...withField(SWEEP, 'repacked', NOT_PACKS),
    ...withField(SWEEP, 'unlisted', NOT_PACKS),
    ...withField(SWEEP, 'session', { 'a short session': 'ab', 'a number for a session': 3 }),
    ...withField(SWEEP, 'segments', {
      // What is removed by name must not be anything else.
      'the config for a segment': ['config'],
      'a snapshot for a segment': [`snapshots/${SESSION}`],
      'a segment elsewhere': [`../index/${SESSION}/000000`],
      'a line break behind a segment': [`index/${SESSION}/000000\n`],
      'a number for a segment': [5],
      'more segments than one prune replaces': new Array(50_001).fill(`index/${SESSION}/000000`),
    }),
  },
  encode: (value) => encodeSweep(9, value, plainRecords),
  decode: (bytes) => decodeSweep(9, bytes, plainRecords),
})

const fence = kind<FenceRecord>({
  what: 'fence',
  type: RECORD_TYPE.fence,
  name: `snapshots/${SESSION}`,
  sample: { collectorOf: 4 },
  values: record({ collectorOf: fc.option(fc.integer({ min: 1 }), { nil: undefined }) }),
  impossible: {
    nothing: {},
    'another version': { version: 2 },
    'generation 0': { version: 1, collectorOf: 0 },
    'a generation in text': { version: 1, collectorOf: '4' },
  },
  encode: (value) => encodeFence(SESSION, value, plainRecords),
  decode: (bytes) => decodeFence(SESSION, bytes, plainRecords),
})

const INTENT = `sessions/${SESSION}/000002`
const session = kind<SessionRecord>({
  what: 'session',
  type: RECORD_TYPE.session,
  name: INTENT,
  sample: { generation: 3, timeMillis: 1_790_000_000_000, ended: false },
  values: record({
    generation: whole,
    timeMillis: fc.option(whole, { nil: undefined }),
    ended: fc.boolean(),
  }),
  impossible: {
    nothing: {},
    'another version': { version: 2, generation: 0 },
    'no generation': { version: 1 },
    'a generation below 0': { version: 1, generation: -1 },
    'a generation beyond 2^53': { version: 1, generation: 2 ** 60 },
    'a number for a truth': { version: 1, generation: 0, ended: 1 },
  },
  encode: (value) => encodeSession(INTENT, value, plainRecords),
  decode: (bytes) => decodeSession(INTENT, bytes, plainRecords),
})

const DAMAGE = `damage/${SESSION}/000001`
const damage = kind<ByteRange[]>({
  what: 'damage mark',
  type: RECORD_TYPE.damage,
  name: DAMAGE,
  sample: [
    { offset: 0, length: 4096 },
    { offset: 8192, length: 1 },
  ],
  values: fc
    .array(fc.tuple(fc.nat(2 ** 40), fc.integer({ min: 1, max: 2 ** 40 })), { maxLength: 8 })
    .map((steps) => ascending(steps)),
  impossible: {
    nothing: {},
    'another version': { version: 2, ranges: [] },
    'a range of nothing': { version: 1, ranges: [[0, 0]] },
    'ranges that overlap': {
      version: 1,
      ranges: [
        [0, 10],
        [9, 5],
      ],
    },
    'ranges that descend': {
      version: 1,
      ranges: [
        [10, 5],
        [0, 5],
      ],
    },
    'a range beyond the largest image': { version: 1, ranges: [[2 ** 53 - 1, 1]] },
    'a range before the image': { version: 1, ranges: [[-1, 1]] },
    'half a range': { version: 1, ranges: [[5]] },
    'a number for a range': { version: 1, ranges: [5] },
    'more ranges than are listed': {
      version: 1,
      ranges: Array.from({ length: 65_537 }, (_, i) => [2 * i, 1]),
    },
  },
  encode: (value) => encodeDamageMark(DAMAGE, value, plainRecords),
  decode: (bytes) => decodeDamageMark(DAMAGE, bytes, plainRecords),
})

/** Ranges from distances and lengths. */
function ascending(steps: readonly (readonly [number, number])[]): ByteRange[] {
  let end = 0
  return steps.map(([distance, length]) => {
    const offset = end + distance
    end = offset + length
    return { offset, length }
  })
}

function withField(
  fields: Readonly<Record<string, RecordValue>>,
  field: string,
  problems: Readonly<Record<string, RecordValue>>,
): Readonly<Record<string, RecordValue>> {
  return Object.fromEntries(
    Object.entries(problems).map(([problem, value]) => [
      `${field}: ${problem}`,
      { ...fields, [field]: value },
    ]),
  )
}

/** Records whose names say all: nobody reads more than the envelope, so any content will do. */
function nameOnly(what: string, type: RecordType, name: string, encoded: Uint8Array[]): RecordKind {
  const bytes = new Uint8Array(Buffer.concat(encoded))
  const payload = plainRecords.open(type, name, bytes)
  return {
    what,
    type,
    name,
    sample: payload,
    values: fc.uint8Array({ maxLength: 100 }),
    impossible: {},
    encode: (value) => new Uint8Array(Buffer.concat(plainRecords.seal(type, name, value as Uint8Array))),
    decode: (sealed) => plainRecords.open(type, name, sealed).slice(),
  }
}

export const RECORD_KINDS: readonly RecordKind[] = [
  mark,
  sweep,
  fence,
  session,
  damage,
  nameOnly('done', RECORD_TYPE.done, 'gc/9.done', encodeDone(9, { packs: 3, segments: 1 }, plainRecords)),
  nameOnly(
    'tombstone',
    RECORD_TYPE.forget,
    `forget/${SESSION}`,
    plainRecords.seal(RECORD_TYPE.forget, `forget/${SESSION}`, encodeRecord({ version: 1 })),
  ),
  nameOnly(
    'quarantine record',
    RECORD_TYPE.quarantine,
    `quarantine/${PACK}`,
    encodeQuarantine(`quarantine/${PACK}`, plainRecords),
  ),
]
