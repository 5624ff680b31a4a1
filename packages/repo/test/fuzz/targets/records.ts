// Records: the envelope, MessagePack, and what each kind of record makes of it.
import {
  type DiskDescription,
  decodeRecord,
  encodeRecord,
  type PackId,
  plainRecords,
  RECORD_TYPE,
  type RecordSealer,
  type RecordType,
  type VolumeDescription,
} from '@platter/core'
import type { ByteRange, Snapshot } from '@platter/repo'
import { decodeDamageMark, encodeDamageMark } from '../../../dist/format/damage-record.js'
import {
  decodeFence,
  decodeMark,
  decodeSweep,
  encodeFence,
  encodeMark,
  encodeSweep,
  type FenceRecord,
  type MarkRecord,
  type SweepRecord,
} from '../../../dist/format/gc-records.js'
import { damageName, gcName, sessionName, snapshotName } from '../../../dist/format/object-names.js'
import { decodeSession, encodeSession, type SessionRecord } from '../../../dist/format/session-record.js'
import { decodeSnapshot, encodeSnapshot, isFence } from '../../../dist/format/snapshot-record.js'
import { noise } from '../../adversity.ts'
import { isValueOf, parse } from '../messagepack.ts'
import { assertStable, type FuzzTarget, sound } from '../target.ts'
import { hexOf, joined, OTHER_SESSION, payloadOf, SESSION, sealed } from './fixtures.ts'

const RECORD_CODES = ['ERR_CORRUPT_RECORD', 'ERR_UNSUPPORTED_VERSION'] as const

const messagePack: FuzzTarget = {
  name: 'messagepack',
  form: 'messagepack',
  seeds: [
    encodeRecord({ a: [1, 2.5, -3, null, true, 'text', noise('bytes', 40)], b: { c: 2 ** 40, d: '' } }),
    encodeRecord(Array.from({ length: 40 }, (_, i) => ({ [`key ${i}`]: 'v'.repeat(i) }))),
    encodeRecord('ä'.repeat(100)),
  ],
  codes: ['ERR_CORRUPT_RECORD'],
  run(input) {
    const tree = parse(input)
    let value: unknown
    try {
      value = decodeRecord(input)
    } catch (error) {
      sound(tree === undefined, 'a record is refused that is as the format says')
      throw error
    }
    sound(tree !== undefined, 'a record is taken that is not as the format says')
    sound(isValueOf(tree!, value), 'a record is read as something else than it says')
  },
}

/** A kind of record whose payload is MessagePack. */
interface RecordKind<Value> {
  readonly name: string
  readonly type: RecordType
  readonly object: string
  readonly values: readonly Value[]
  readonly codes?: FuzzTarget['codes']
  encode(value: Value, records: RecordSealer): Uint8Array[]
  decode(bytes: Uint8Array, records: RecordSealer): Value
}

/** Feeds any payload, rightly sealed, to a decoder; what it takes must be stable. */
function recordTarget<Value>(kind: RecordKind<Value>): FuzzTarget {
  const { name, type, object, values, encode, decode } = kind
  return {
    name,
    form: 'messagepack',
    seeds: values.map((value) => payloadOf(type, object, encode(value, plainRecords))),
    codes: kind.codes ?? RECORD_CODES,
    run(input) {
      const { records, bytes } = sealed(type, object, input)
      assertStable(decode(bytes, records), (value) => decode(joined(encode(value, records)), records))
    },
  }
}

const INTENT = sessionName(SESSION, 3)
const MARK = damageName(SESSION, 0)
const packIds = (count: number): PackId[] =>
  Array.from({ length: count }, (_, i) => hexOf(`pack ${i}`, 32) as PackId)

const session = recordTarget<SessionRecord>({
  name: 'session',
  type: RECORD_TYPE.session,
  object: INTENT,
  values: [
    { generation: 7, timeMillis: 1_790_000_000_000, ended: false },
    { generation: 0, timeMillis: undefined, ended: true },
  ],
  encode: (value, records) => encodeSession(INTENT, value, records),
  decode: (bytes, records) => decodeSession(INTENT, bytes, records),
})

const fence = recordTarget<FenceRecord>({
  name: 'fence',
  type: RECORD_TYPE.fence,
  object: snapshotName(SESSION),
  values: [{ collectorOf: undefined }, { collectorOf: 12 }],
  encode: (value, records) => encodeFence(SESSION, value, records),
  decode: (bytes, records) => {
    sound(isFence(SESSION, bytes, records), 'a fence is not taken for one')
    return decodeFence(SESSION, bytes, records)
  },
})

const mark = recordTarget<MarkRecord>({
  name: 'mark',
  type: RECORD_TYPE.mark,
  object: gcName(9, 'mark'),
  values: [
    {
      condemned: packIds(3),
      unlisted: packIds(1),
      openSessions: [{ session: OTHER_SESSION, intent: 4 }],
      timeMillis: 1_790_000_000_000,
    },
    { condemned: [], unlisted: [], openSessions: [], timeMillis: 0 },
  ],
  encode: (value, records) => encodeMark(9, value, records),
  decode: (bytes, records) => decodeMark(9, bytes, records),
})

const sweep = recordTarget<SweepRecord>({
  name: 'sweep',
  type: RECORD_TYPE.sweep,
  object: gcName(9, 'sweep'),
  values: [
    {
      session: SESSION,
      packs: { unreferenced: packIds(2), repacked: packIds(1), unlisted: [] },
      segments: [`index/${OTHER_SESSION}/000000`, `index/${OTHER_SESSION}/000001`],
    },
    { session: undefined, packs: { unreferenced: [], repacked: [], unlisted: [] }, segments: [] },
  ],
  encode: (value, records) => encodeSweep(9, value, records),
  decode: (bytes, records) => decodeSweep(9, bytes, records),
})

const damage = recordTarget<ByteRange[]>({
  name: 'damage-mark',
  type: RECORD_TYPE.damage,
  object: MARK,
  values: [
    [
      { offset: 0, length: 4096 },
      { offset: 8192, length: 1 },
      { offset: 2 ** 40, length: 2 ** 33 },
    ],
    [],
  ],
  encode: (value, records) => encodeDamageMark(MARK, value, records),
  decode(bytes, records) {
    const ranges = decodeDamageMark(MARK, bytes, records)
    ranges.reduce((end, { offset, length }) => {
      sound(offset >= end && length > 0 && Number.isSafeInteger(offset + length), 'damaged ranges overlap')
      return offset + length
    }, 0)
    return ranges
  },
})

const SNAPSHOT: Snapshot = {
  id: SESSION,
  name: 'web-01/sda',
  host: 'web-01',
  time: '2026-11-25T07:00:00.000Z',
  tags: ['nightly', 'ä'],
  parent: OTHER_SESSION,
  program: 'platter 0.1.0',
  checkpoint: false,
  volumes: [
    {
      sizeBytes: 2 ** 33,
      root: hexOf('root', 32) as NonNullable<Snapshot['volumes'][number]['root']>,
      imageDigest: hexOf('digest', 32),
      source: { kind: 'block-device', label: '/dev/sda', logicalSectorBytes: 512, physicalSectorBytes: 4096 },
      badRanges: [{ offset: 4096, length: 512 }],
    },
  ],
  stats: {
    bytesTotal: 2 ** 33,
    bytesRead: 2 ** 32,
    bytesHole: 2 ** 20,
    bytesNew: 12_345,
    bytesStored: 6789,
    chunksNew: 12,
    chunksKnown: 3456,
    seconds: 12.5,
  },
}

const VOLUME_RECORD: VolumeDescription = {
  filesystem: { type: 'ext4', label: 'root', uuid: 'a-b', blockBytes: 4096, sizeBytes: 2 ** 32 },
  usedBytes: 2 ** 31,
  leftOut: [
    { use: 'free', bytes: 2 ** 31 },
    { use: 'swap', bytes: 4096 },
  ],
}

const DISK: DiskDescription = {
  policy: 'used',
  table: {
    kind: 'gpt',
    sectorBytes: 512,
    id: 'c0ffee',
    problems: [{ code: 'header-damaged', severity: 'warning', message: 'The backup is damaged.' }],
  },
  partitions: [
    {
      number: 1,
      kind: 'primary',
      offset: 2 ** 20,
      length: 2 ** 32,
      type: '83',
      typeName: 'Linux',
      partUuid: 'c0ffee-01',
      name: 'root',
      bootable: true,
      volume: VOLUME_RECORD,
    },
    { number: 2, kind: 'extended', offset: 0, length: 0, type: '05', partUuid: '', bootable: false },
  ],
  volume: { leftOut: [], problem: { code: 'not-clean', message: 'it is mounted' } },
  usage: [255, 0, 17],
}

const snapshot = recordTarget<Snapshot>({
  name: 'snapshot',
  type: RECORD_TYPE.snapshot,
  object: snapshotName(SESSION),
  values: [
    SNAPSHOT,
    { ...SNAPSHOT, volumes: SNAPSHOT.volumes.map((volume) => ({ ...volume, disk: DISK })) },
    { ...SNAPSHOT, parent: undefined, checkpoint: true, tags: [] },
  ],
  codes: ['ERR_CORRUPT_SNAPSHOT', 'ERR_UNSUPPORTED_VERSION', 'ERR_UNSUPPORTED_FEATURE'],
  encode: (value, records) => encodeSnapshot(value, records),
  decode: (bytes, records) => {
    const value = decodeSnapshot(SESSION, bytes, records)
    sound(!isFence(SESSION, bytes, records), 'a snapshot is taken for a fence')
    sound(
      value.volumes.every(({ sizeBytes }) => Number.isSafeInteger(sizeBytes)),
      'a size is none',
    )
    return value
  },
})

export const RECORD_TARGETS: readonly FuzzTarget[] = [
  messagePack,
  session,
  fence,
  mark,
  sweep,
  damage,
  snapshot,
]
