// Every bit, every length, and every exchange of the objects of a small repository.
import { PlatterError } from '@platter/core'
import { type MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import type { Repository } from '@platter/repo'
import { copyOf, objectNames, replaceObject, sameBytes } from '../adversity.ts'
import { makeVictim, openVictim, type Victim } from './victim.ts'

export type Kind = 'bit' | 'length' | 'zeros' | 'gone' | 'exchange' | 'longer'

export interface SweepOptions {
  readonly isEncrypted: boolean
  /** One bit or length in so many is tried, and 16 times as many exchanges. Default 1: all. */
  readonly stride?: number
  readonly offset?: number
  readonly onProblem?: (what: string, problem: string) => void
  /** Told of an object that was removed, or put in another's place, which no check can know. */
  readonly onUnseen?: (kind: Kind, object: string) => void
}

export interface SweepSummary {
  readonly objects: number
  readonly bytes: number
  /** How many alterations there were, and of how many nothing told. */
  readonly tried: Readonly<Record<Kind, number>>
  readonly unseen: number
  readonly wrong: number
}

interface Alteration {
  readonly kind: Kind
  readonly what: string
  /** What stands under which names then; undefined for nothing. */
  readonly objects: ReadonlyMap<string, Uint8Array | undefined>
}

/** Alterations that there are many of. */
const STRIDED: ReadonlySet<Kind> = new Set(['bit', 'length', 'exchange'])
/** Objects that every restore depends on. */
const RESTORED = /^(config|keys|index|snapshots|packs)\b/

/** Alters, looks and puts back, one alteration after the other. */
export async function runSweep(options: SweepOptions): Promise<SweepSummary> {
  const { isEncrypted, stride = 1, offset = 0, onProblem, onUnseen } = options
  const victim = await makeVictim(isEncrypted)
  const names = (await objectNames(victim.store)).filter((name) => !victim.unchecked.includes(name))
  const scratch = await copyOf(victim.store)
  const tried: Record<Kind, number> = { bit: 0, length: 0, zeros: 0, gone: 0, exchange: 0, longer: 0 }
  let [unseen, wrong, bytes, number] = [0, 0, 0, 0]
  for (const name of names) {
    bytes += (await victim.store.get(name)).length
    for (const { kind, what, objects } of await alterations(victim, name, names)) {
      if (STRIDED.has(kind)) {
        const step = kind === 'exchange' ? Math.ceil(stride / 16) : stride
        if (number++ % step !== offset % step) continue
      }
      tried[kind]++
      for (const [altered, content] of objects) await replaceObject(scratch, altered, content)
      const { isFound, problems } = await examine(scratch, victim, isEncrypted, RESTORED.test(name))
      for (const altered of objects.keys())
        await replaceObject(scratch, altered, await victim.store.get(altered))
      for (const problem of problems) onProblem?.(what, problem)
      wrong += problems.length
      if (!isFound) {
        unseen++
        onUnseen?.(kind, name)
      }
    }
  }
  return { objects: names.length, bytes, tried, unseen, wrong }
}

async function alterations(victim: Victim, name: string, names: readonly string[]): Promise<Alteration[]> {
  const bytes = await victim.store.get(name)
  const one = (kind: Kind, what: string, content: Uint8Array | undefined): Alteration => ({
    kind,
    what: `${what} of ${name}`,
    objects: new Map([[name, content]]),
  })
  const all: Alteration[] = [
    one('gone', 'all', undefined),
    one('zeros', 'zeros instead', new Uint8Array(bytes.length)),
    one('longer', 'a byte more', new Uint8Array([...bytes, 0])),
  ]
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const altered = bytes.slice()
    altered[bit >>> 3]! ^= 1 << (bit & 7)
    all.push(one('bit', `bit ${bit}`, altered))
  }
  for (let length = 0; length < bytes.length; length++)
    all.push(one('length', `the first ${length} bytes`, bytes.slice(0, length)))
  for (const other of names.slice(names.indexOf(name) + 1)) {
    const objects = new Map([
      [name, await victim.store.get(other)],
      [other, bytes],
    ])
    all.push({ kind: 'exchange', what: `${name} and ${other} exchanged`, objects })
  }
  return all
}

/** What opening, checking and restoring come to. */
async function examine(
  store: MemoryStore,
  { snapshots }: Victim,
  isEncrypted: boolean,
  isRestored: boolean,
): Promise<{ readonly isFound: boolean; readonly problems: readonly string[] }> {
  let repo: Repository
  try {
    repo = await openVictim(store, isEncrypted)
  } catch (error) {
    return { isFound: true, problems: typed(error) }
  }
  const problems: string[] = []
  let isFound = false
  try {
    const { findings } = await repo.check({ readData: true, workers: 0 })
    isFound = findings.length > 0
  } catch (error) {
    isFound = true
    problems.push(...typed(error))
  }
  for (const [id, image] of isRestored ? snapshots : []) {
    const target = new MemoryTarget()
    try {
      await repo.restore(id, target, { workers: 0 })
      if (!sameBytes(target.bytes, image))
        problems.push(`${id} restores other bytes, and says that all is well`)
    } catch (error) {
      problems.push(...typed(error))
      const isItself = PlatterError.is(error, 'ERR_SNAPSHOT_NOT_FOUND')
      if (!isFound && !isItself) problems.push(`${id} does not restore, which the check did not tell`)
    }
  }
  await repo.close()
  return { isFound, problems }
}

function typed(error: unknown): string[] {
  return error instanceof PlatterError && error.code !== 'ERR_INTERNAL'
    ? []
    : [`an error without type: ${error}`]
}
