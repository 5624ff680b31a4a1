// What a snapshot says of the disk it was made of: as it was given, within its limits, and as docs/format.md has it.
import {
  type DiskDescription,
  type PartitionDescription,
  plainRecords,
  type VolumeDescription,
} from '@platter/core'
import { MemorySource, MemoryStore } from '@platter/fs-adapters'
import type { Snapshot } from '@platter/repo'
import fc from 'fast-check'
import t from 'tap'
import { decodeSnapshot, encodeSnapshot } from '../dist/format/snapshot-record.js'
import { codeOf, newRepository, SETTINGS } from './adversity.ts'
import { FormatReader } from './format-doc/reader.ts'

class DescribedSource extends MemorySource {
  readonly disk: DiskDescription

  constructor(disk: DiskDescription) {
    super(new Uint8Array(SETTINGS.regionBytes!))
    this.disk = disk
  }
}

const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const bytes = fc.maxSafeNat()
/** With some of the fields that may be missing, and a prototype, as decoders give it. */
function some<T>(
  fields: { [K in keyof T]: fc.Arbitrary<T[K]> },
  ...requiredKeys: (keyof T)[]
): fc.Arbitrary<T> {
  return fc.record(fields, { requiredKeys, noNullPrototype: true }) as fc.Arbitrary<T>
}
const problem = some({ code: text, message: text }, 'code', 'message')
const volume = some(
  {
    filesystem: some(
      { type: text, label: text, uuid: text, blockBytes: bytes, sizeBytes: bytes },
      'type',
      'blockBytes',
      'sizeBytes',
    ),
    usedBytes: bytes,
    leftOut: fc.array(some({ use: text, bytes }, 'use', 'bytes'), { maxLength: 4 }),
    problem,
  },
  'leftOut',
) as fc.Arbitrary<VolumeDescription>
const partition = some(
  {
    number: fc.integer({ min: 1, max: 2 ** 31 }),
    kind: text,
    offset: bytes,
    length: bytes,
    type: text,
    typeName: text,
    partUuid: text,
    name: text,
    bootable: fc.boolean(),
    volume,
  },
  'number',
  'kind',
  'offset',
  'length',
  'type',
  'partUuid',
  'bootable',
) as fc.Arbitrary<PartitionDescription>
const descriptions = some(
  {
    policy: text,
    table: some(
      {
        kind: text,
        sectorBytes: fc.integer({ min: 1, max: 2 ** 20 }),
        id: text,
        problems: fc.array(
          some({ code: text, message: text, severity: text }, 'code', 'message', 'severity'),
          {
            maxLength: 3,
          },
        ),
      },
      'kind',
      'sectorBytes',
      'problems',
    ),
    partitions: fc.array(partition, { maxLength: 5 }),
    volume,
    usage: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 130 }),
  },
  'policy',
  'table',
  'partitions',
  'usage',
) as fc.Arbitrary<DiskDescription>

const DISK: DiskDescription = {
  policy: 'used',
  table: { kind: 'none', sectorBytes: 512, problems: [] },
  partitions: [],
  volume: { usedBytes: 4096, leftOut: [{ use: 'free', bytes: 65_536 }] },
  usage: [255, 0],
}

async function snapshotOf(disk: DiskDescription): Promise<Snapshot> {
  return await (await newRepository()).backup(new DescribedSource(disk), { name: 'disk', workers: 0 })
}

t.test('any description comes back as it was given', async (t) => {
  const snapshot = await snapshotOf(DISK)
  t.same(snapshot.volumes[0]!.disk, DISK)
  fc.assert(
    fc.property(descriptions, (disk) => {
      const before = { ...snapshot, volumes: [{ ...snapshot.volumes[0]!, disk }] }
      const record = new Uint8Array(Buffer.concat(encodeSnapshot(before, plainRecords)))
      t.strictSame(decodeSnapshot(snapshot.id, record, plainRecords), before)
    }),
    { numRuns: 50 },
  )
})

t.test('it is kept in the repository, where the document says', async (t) => {
  const [disk] = fc.sample(descriptions, { numRuns: 1, seed: 4 })
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const { id } = await repo.backup(new DescribedSource(disk!), { name: 'disk', workers: 0 })
  t.strictSame((await repo.snapshot(id)).volumes[0]!.disk, disk)
  const objects = new Map<string, Uint8Array>()
  for await (const { name } of store.list('')) objects.set(name, (await store.get(name)) as Uint8Array)
  const { disk: record } = new FormatReader(objects).snapshots().get(id)!.volumes[0]!
  t.strictSame({ ...record, usage: [...record!.usage] }, disk)
})

t.test('what could not be read again is refused before anything is read', async (t) => {
  const long = 'x'.repeat(1025)
  const part = fc.sample(partition, { numRuns: 1, seed: 4 })[0]!
  const cases: Record<string, unknown> = {
    'no map': 7,
    'no table': { ...DISK, table: undefined },
    'no policy': { ...DISK, policy: undefined },
    'a long text': { ...DISK, policy: long },
    'a long label': { ...DISK, partitions: [{ ...part, name: long }] },
    'a number that is none': { ...DISK, partitions: [{ ...part, number: 0 }] },
    'a size that is none': { ...DISK, partitions: [{ ...part, length: -1 }] },
    'half a byte': { ...DISK, volume: { leftOut: [{ use: 'free', bytes: 0.5 }] } },
    'too many partitions': { ...DISK, partitions: new Array(1025).fill(part) },
    'too many uses': { ...DISK, volume: { leftOut: new Array(17).fill({ use: '', bytes: 0 }) } },
    'too many problems': {
      ...DISK,
      table: { ...DISK.table, problems: new Array(65).fill({ code: '', message: '', severity: '' }) },
    },
    'too large a picture': { ...DISK, usage: new Array(1025).fill(0) },
    'a picture that is none': { ...DISK, usage: [256] },
    'too much in all': {
      ...DISK,
      partitions: new Array(1024).fill({
        ...part,
        kind: 'x'.repeat(1024),
        type: 'x'.repeat(1024),
        partUuid: 'ä'.repeat(1024),
        name: 'ä'.repeat(1024),
      }),
    },
  }
  for (const [name, disk] of Object.entries(cases))
    t.equal(await codeOf(snapshotOf(disk as DiskDescription)), 'ERR_INVALID_ARGUMENT', name)
})
