// Names of objects, ids, and what people write in their place.
import {
  assertStoreName,
  assertStorePrefix,
  isStoreName,
  type PackId,
  parsePackId,
  parseRepositoryId,
  parseSessionId,
  plainRecords,
  type SessionId,
  type SnapshotId,
} from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import {
  damageMarkOfName,
  damageName,
  forgetName,
  forgottenIdOfName,
  gcName,
  gcStepOfName,
  indexSegmentName,
  indexSessionOfName,
  intentOfName,
  keySlotIdOfName,
  keySlotName,
  packIdOfName,
  packName,
  quarantinedIdOfName,
  quarantineName,
  sessionName,
  snapshotIdOfName,
  snapshotName,
} from '../../../dist/format/object-names.js'
import { SnapshotCatalog } from '../../../dist/snapshots/snapshot-catalog.js'
import { backUp, newRepository, objectNames } from '../../adversity.ts'
import { type FuzzTarget, sound } from '../target.ts'
import { hexOf, SESSION, textOf, textSeeds } from './fixtures.ts'

const PACK = hexOf('pack', 32) as PackId

const objectName: FuzzTarget = {
  name: 'object-name',
  form: 'text',
  seeds: textSeeds(
    packName(PACK),
    indexSegmentName(SESSION, 7),
    sessionName(SESSION, 999_999),
    snapshotName(SESSION),
    forgetName(SESSION),
    damageName(SESSION, 3),
    quarantineName(PACK),
    keySlotName(SESSION as string as Parameters<typeof keySlotName>[0]),
    gcName(12, 'mark'),
    gcName(1, 'sweep'),
    'config',
  ),
  codes: ['ERR_INVALID_NAME'],
  run(input) {
    const name = textOf(input)
    const again = namesAgain(name)
    sound(again.length <= 1, 'a name is of two kinds')
    // A name that means something is the only one that means it: nothing is found, or deleted, under another.
    if (again.length === 1) sound(again[0] === name && isStoreName(name), 'a name is taken for another')
    assertStorePrefix(`${name}/`)
    assertStoreName(name)
    const isPlain = name.length <= 240 && /^[a-z0-9._/-]+$/.test(name)
    const segments = name.split('/')
    sound(
      isPlain && segments.every((part) => part !== '' && !part.startsWith('.')),
      'a name leaves its folder',
    )
  },
}

/** The name, made again from each thing that it is read as. */
function namesAgain(name: string): string[] {
  const pack = packIdOfName(name)
  const snapshot = snapshotIdOfName(name)
  const forgotten = forgottenIdOfName(name)
  const segment = indexSessionOfName(name)
  const mark = damageMarkOfName(name)
  const quarantined = quarantinedIdOfName(name)
  const slot = keySlotIdOfName(name)
  const intent = intentOfName(name)
  const gc = gcStepOfName(name)
  return [
    ...(pack === undefined ? [] : [packName(pack)]),
    ...(snapshot === undefined ? [] : [snapshotName(snapshot)]),
    ...(forgotten === undefined ? [] : [forgetName(forgotten)]),
    ...(segment === undefined ? [] : [indexSegmentName(segment, Number(name.slice(-6)))]),
    ...(mark === undefined ? [] : [damageName(mark.id, mark.mark)]),
    ...(quarantined === undefined ? [] : [quarantineName(quarantined)]),
    ...(slot === undefined ? [] : [keySlotName(slot)]),
    ...(intent === undefined ? [] : [sessionName(intent.session, intent.intent)]),
    ...(gc === undefined ? [] : [gcName(gc.generation, gc.step)]),
  ]
}

const ids: FuzzTarget = {
  name: 'ids',
  form: 'text',
  seeds: textSeeds(PACK, SESSION, SESSION.toUpperCase()),
  codes: ['ERR_INVALID_ARGUMENT'],
  run(input) {
    const text = textOf(input)
    const parsers = [parsePackId, parseSessionId, parseRepositoryId]
    const parse = parsers[text.length === 64 ? 0 : 1 + ((input[0] ?? 0) % 2)]!
    const id = parse(text)
    sound(id === text && /^[0-9a-f]+$/.test(id) && (id.length === 32 || id.length === 64), 'an id is none')
  },
}

const store = new MemoryStore()
const repository = await newRepository(store)
for (const name of ['one', 'two', 'three']) await backUp(repository, new Uint8Array(10), { name })
const catalog = new SnapshotCatalog({ store, records: plainRecords })
const snapshots = (await objectNames(store, 'snapshots/')).map((name) => name.slice(10) as SnapshotId)

const selector: FuzzTarget = {
  name: 'snapshot-selector',
  form: 'text',
  seeds: textSeeds('latest', 'latest:one', 'xxxx', 'xxxxxxx', 'x'.repeat(32), 'ABCDEF0', SESSION),
  codes: ['ERR_SNAPSHOT_NOT_FOUND', 'ERR_SNAPSHOT_AMBIGUOUS'],
  async run(input) {
    const text = textOf(input)
    // Ids differ from run to run: each x stands for the digit at its place.
    const named = snapshots[text.length % snapshots.length]!
    const reference = [...text].map((letter, i) => (letter === 'x' ? (named[i] ?? letter) : letter)).join('')
    const id: SessionId = await catalog.resolveId(reference)
    sound(snapshots.includes(id), 'a snapshot is found that is not there')
    const isNamed = id.startsWith(reference.toLowerCase()) && reference.length >= 4
    sound(isNamed || /^latest(:(one|two|three))?$/.test(reference), 'a snapshot is found that was not named')
  },
}

export const NAME_TARGETS: readonly FuzzTarget[] = [objectName, ids, selector]
