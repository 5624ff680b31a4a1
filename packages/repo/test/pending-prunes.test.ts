// Prunes that were cut off, at every stage, with damage on top: no such state may be one that nobody can leave.
import { plainRecords, type SnapshotId, type Store } from '@platter/core'
import { MemoryStore } from '@platter/fs-adapters'
import { type PruneOptions, Repository } from '@platter/repo'
import { type Test, test } from 'tap'
import { decodeSweep } from '../dist/format/gc-records.js'
import { decodeIndexSegment } from '../dist/format/index-segment.js'
import { packName } from '../dist/format/object-names.js'
import {
  backUp,
  copyOf,
  newRepository,
  noise,
  objectNames,
  rejection,
  replaceObject,
  restored,
  sameBytes,
} from './adversity.ts'
import { SteppedStore } from './interleaving.ts'

const LONG = process.env.PLATTER_LONG_TESTS === '1'
/** Takes every writer that has not committed for dead, and repacks whatever it can. */
const ALL: PruneOptions = { patienceSeconds: 0, maxUnusedFraction: 0 }

const FORGOTTEN = noise('forgotten', 180_000)
/** Has half of that: one of its packs stays, another is repacked, others go. */
const HALF: Uint8Array = new Uint8Array([...FORGOTTEN.subarray(0, 100_000), ...noise('half', 10_000)])
const OTHER = noise('other', 40_000)
const LATER = noise('later', 30_000)

/** Where a process died: ahead of the first call that is like one of these, after `spared` others that are. */
interface Death {
  readonly at: RegExp
  readonly spared?: number
}

async function dyingAt(
  store: Store,
  { at, spared = 0 }: Death,
  work: (repo: Repository) => Promise<unknown>,
) {
  let met = 0
  let isDead = false
  const dying = new SteppedStore(store, async (call) => {
    if (at.test(call)) isDead ||= met++ === spared
    if (isDead) throw new Error('dead')
  })
  await rejection((async () => await work(await Repository.open(dying)))())
  if (!isDead) throw new Error('It did not die.')
}

/** How far the prune had come. The last one had come to its end. */
const STAGES: Readonly<Record<string, Death | undefined>> = {
  marked: { at: /^put gc\/1\.sweep/ },
  swept: { at: /^delete / },
  'segments removed': { at: /^delete packs\// },
  'packs removed in part': { at: /^delete packs\//, spared: 1 },
  removed: { at: /^put gc\/1\.done/ },
  done: undefined,
}

interface Victim {
  readonly store: MemoryStore
  readonly images: ReadonlyMap<SnapshotId, Uint8Array>
}

/** Two snapshots, a third that is forgotten, a writer that died, a prune that did, and another writer after that. */
async function victimOf(death: Death | undefined): Promise<Victim> {
  const store = new MemoryStore()
  const repo = await newRepository(store)
  const { id: gone } = await backUp(repo, FORGOTTEN)
  const images = new Map([
    [(await backUp(repo, HALF, { name: 'half' })).id, HALF],
    [(await backUp(repo, OTHER, { name: 'other' })).id, OTHER],
  ])
  await repo.forget(gone)
  await dyingAt(store, { at: /^put snapshots\// }, (dying) => backUp(dying, noise('dead', 30_000)))
  if (death === undefined) await (await Repository.open(store)).prune(undefined, ALL)
  else await dyingAt(store, death, (dying) => dying.prune(undefined, ALL))
  await dyingAt(store, { at: /^put snapshots\// }, (dying) => backUp(dying, LATER))
  return { store, images }
}

const DAMAGES: Readonly<Record<string, (store: Store, name: string) => Promise<void>>> = {
  damaged: async (store, name) => {
    const bytes = await store.get(name)
    bytes[bytes.length >> 1]! ^= 4
    await replaceObject(store, name, bytes)
  },
  lost: (store, name) => store.delete(name),
}

/** Snapshots of which every byte comes back. */
async function whole(store: Store, images: Victim['images']): Promise<Set<SnapshotId>> {
  const ids = new Set<SnapshotId>()
  const repo = await Repository.open(store)
  for (const [id, image] of images) {
    const bytes = await restored(repo, id).catch(() => undefined)
    if (bytes !== undefined && sameBytes(bytes, image)) ids.add(id)
  }
  return ids
}

type Command = 'repair index' | 'repair packs' | 'prune'

/** What people do, and in which order. A prune that comes first, as from a timer, must not do harm. */
const ORDERS: readonly (readonly Command[])[] = [
  ['repair index', 'repair packs', 'repair index', 'prune'],
  ['prune', 'repair packs', 'repair index', 'repair packs', 'prune'],
]

/** Runs a command and gives its code. Does what its message says where people have to. */
async function run(command: Command, store: Store, restoredBefore: ReadonlySet<SnapshotId>): Promise<string> {
  for (;;) {
    const repo = await Repository.open(store)
    try {
      if (command === 'repair index') await repo.repairIndex()
      else if (command === 'repair packs') await repo.repairPacks({ workers: 0 })
      else await repo.prune(undefined, ALL)
      return 'success'
    } catch (error) {
      const { code = String(error), message } = error as { code?: string; message: string }
      const sweep = /remove that object, and run a prune/.test(message) && /gc\/\d+\.sweep/.exec(message)
      const [, lost] = /snapshot ([0-9a-f]{32}) cannot be followed.*forget that/.exec(message) ?? []
      const [, fence] = /^ERR_CORRUPT_SNAPSHOT$/.test(code)
        ? (/snapshots\/([0-9a-f]{32})/.exec(message) ?? [])
        : []
      const forgotten = lost ?? fence
      if (sweep) await store.delete(sweep[0])
      else if (command === 'prune' && forgotten && !restoredBefore.has(forgotten as SnapshotId))
        await repo.forget(forgotten)
      else return code
    }
  }
}

/** Asserts that the commands lead to a repository that works, and that nothing is lost on the way. */
async function assertBroughtOn(
  t: Test,
  { store, images: first }: Victim,
  name: string,
  what: string,
  order: readonly Command[],
): Promise<void> {
  const images = new Map(first)
  if (name.startsWith('gc/')) {
    // It may fail, but must not rely on what goes.
    const repo = await Repository.open(store)
    const again = await backUp(repo, FORGOTTEN, { name: 'again' }).catch(() => undefined)
    if (again !== undefined) images.set(again.id, FORGOTTEN)
  }
  const before = await whole(store, images)
  const codes: string[] = []
  const assertWhole = async (): Promise<void> => {
    const after = await whole(store, images)
    for (const id of before) if (!after.has(id)) t.fail(`${what}: a snapshot is gone (${order}: ${codes})`)
  }
  for (const command of order) {
    codes.push(await run(command, store, before))
    // Where the index is whole, no command may need another one to make up for it.
    if (name.startsWith('packs/')) await assertWhole()
  }
  await assertWhole()
  if (codes.at(-1) !== 'success') t.fail(`${what}: no prune any more (${order}: ${codes})`)
  const repo = await Repository.open(store)
  const { id } = await backUp(repo, LATER, { name: 'later' })
  if (!sameBytes(await restored(repo, id), LATER)) t.fail(`${what}: no backup any more`)
  const { findings } = await repo.check({ readData: true, workers: 0 })
  // Nothing but the one damaged record, on which nothing depends, and what had been lost before.
  for (const { object, message, snapshots } of findings) {
    const isLoss = snapshots.length > 0 && snapshots.every((lost) => !before.has(lost))
    if (object !== name && !isLoss) t.fail(`${what}: ${message} (${order}: ${codes})`)
  }
}

for (const [stage, death] of Object.entries(STAGES)) {
  test(`a prune that was cut off, ${stage}, and damage: no dead end`, async (t) => {
    const { store: original, images } = await victimOf(death)
    let at = 0
    for (const name of await objectNames(original)) {
      if (name === 'config' || images.has(name.slice('snapshots/'.length) as SnapshotId)) continue
      const isOneOfMany = /^(packs|index)\//.test(name) && stage !== 'swept'
      at++
      if (!LONG && isOneOfMany && at % 3 > 0) continue
      for (const [damage, inflict] of Object.entries(DAMAGES)) {
        for (const order of LONG || stage === 'swept' ? ORDERS : [ORDERS[at % 2]!]) {
          const store = await copyOf(original)
          await inflict(store, name)
          await assertBroughtOn(t, { store, images }, name, `${stage}, ${name} ${damage}`, order)
        }
      }
    }
    t.pass('whatever was damaged')
  })
}

/** Packs that are listed by what the prune stored: those that took the place of others, and those that stay. */
async function packsOfSweep(store: Store): Promise<string[]> {
  const { session } = decodeSweep(1, await store.get('gc/1.sweep'), plainRecords)
  const names = new Set<string>()
  for (const name of await objectNames(store, `index/${session}/`)) {
    const { packs } = decodeIndexSegment(name, await store.get(name), plainRecords)
    for (const { id } of packs) names.add(packName(id))
  }
  return [...names].sort()
}

/** What restores after the commands, everything else being marked or forgotten. Prunes have to work then. */
async function outcome(
  t: Test,
  { store, images }: Victim,
  what: string,
  order: readonly Command[],
  least: ReadonlySet<SnapshotId>,
): Promise<ReadonlySet<SnapshotId>> {
  const codes: string[] = []
  for (const command of order) codes.push(await run(command, store, least))
  const ids = await whole(store, images)
  const repo = await Repository.open(store)
  const marked = await repo.damagedSnapshots()
  for await (const { id } of repo.snapshots())
    if (marked.has(id) === ids.has(id))
      t.fail(`${what}: ${ids.has(id) ? 'whole and marked' : 'lost, and not marked'} (${order}: ${codes})`)
  const { findings } = await repo.check({ readData: true, workers: 0 })
  for (const { message, snapshots } of findings)
    if (snapshots.length === 0 || snapshots.some((id) => ids.has(id))) t.fail(`${what}: ${message}`)
  if (codes.at(-1) !== 'success') t.fail(`${what}: no prune any more (${order}: ${codes})`)
  return ids
}

for (const stage of ['swept', 'segments removed', 'packs removed in part', 'removed']) {
  test(`a prune that was cut off, ${stage}, and damage of index and packs at once: no dead end`, async (t) => {
    const { store: original, images } = await victimOf(STAGES[stage])
    let at = 0
    for (const pack of await packsOfSweep(original)) {
      for (const [packDamage, inflictOnPack] of Object.entries(DAMAGES)) {
        const damaged = await copyOf(original)
        await inflictOnPack(damaged, pack)
        const alone = { store: await copyOf(damaged), images }
        const least = await outcome(
          t,
          alone,
          `${pack} ${packDamage}`,
          ['repair packs', 'prune'],
          new Set<SnapshotId>(),
        )
        for (const segment of await objectNames(original, 'index/')) {
          for (const [segmentDamage, inflictOnSegment] of Object.entries(DAMAGES)) {
            const what = `${stage}, ${pack} ${packDamage} and ${segment} ${segmentDamage}`
            for (const order of LONG ? ORDERS : [ORDERS[at++ % 2]!]) {
              const store = await copyOf(damaged)
              await inflictOnSegment(store, segment)
              const restoring = await outcome(t, { store, images }, what, order, least)
              for (const id of least) if (!restoring.has(id)) t.fail(`${what}: a snapshot is lost (${order})`)
            }
          }
        }
      }
    }
    t.pass('whatever was damaged')
  })
}
