import { MemorySource } from '@platter/fs-adapters'
import { type OpenOptions, Repository } from '@platter/repo'
import { type BlockImage, bytesOf, longImage } from './block-images.ts'
import { concludeWith, Ledger, Violation } from './ledger.ts'
import { BucketMedium, DiskMedium, type Medium } from './medium.ts'
import { KEY_FILE, openOptionsOf, settingsOf } from './profile.ts'
import { RandomStream } from './random-stream.ts'
import { type Actor, codeOf, type Operation, World } from './world.ts'

/** What is broken off at every one of its steps. */
export const SWEPT = [
  'backup',
  'long backup',
  'forget',
  'prune',
  'repair index',
  'repair packs',
  'key add',
  'key change',
  'key remove',
] as const
export type Swept = (typeof SWEPT)[number]

/** A process dies before its call number `call` has an effect, or right after. */
export interface Crash {
  readonly call: number
  readonly when: 'before' | 'after'
  /** The machine has lost its power too. */
  readonly powerCut: boolean
}

/** Whether and where the recovery dies too. */
export type SecondCrash = Crash | undefined

const OLD: BlockImage = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
const GONE: BlockImage = [...OLD.slice(0, 9), 20, 21, 22, 23, 24, 25]
const NEW: BlockImage = [20, 21, 22, 23, ...OLD.slice(3, 9), ...new Array<number>(18).fill(-1), 30, 31]
const OTHER_KEY: Uint8Array = new Uint8Array(32).fill(2)

/** A repository before the operation, on which each run begins anew. */
interface Base {
  readonly medium: Medium
  readonly ledger: Ledger
  readonly options: OpenOptions
  /** Something is damaged, or the key may be another one, so nothing is promised before the recovery has ended. */
  readonly damaged: boolean
}

/** A part of all crashes of a sweep: every `of`th pair of a first and a second crash. */
export interface SweepPart {
  readonly operation: Swept
  readonly medium: 'bucket' | 'disk'
  /** Whether the recovery dies too. */
  readonly second: boolean
  readonly part: number
  readonly of: number
}

/** All crashes that a part is to try. */
export async function* crashesOf(
  sweep: Sweep,
  { medium, second, part, of }: SweepPart,
): AsyncGenerator<readonly [Crash, SecondCrash]> {
  const { operation, recovery } = await sweep.lengths()
  let number = 0
  const isMine = (): boolean => number++ % of === part
  for (const first of crashesAmong(operation, medium)) {
    if (!second) {
      if (isMine()) yield [first, undefined]
      continue
    }
    for (const other of crashesAmong(recovery, medium)) if (isMine()) yield [first, other]
  }
}

function* crashesAmong(calls: number, medium: 'bucket' | 'disk'): Generator<Crash> {
  for (let call = 0; call < calls; call++) {
    for (const when of ['before', 'after'] as const) {
      yield { call, when, powerCut: false }
      if (medium === 'disk') yield { call, when, powerCut: true }
    }
  }
}

/** Breaks one operation off at each of its steps, and the recovery from that at each of its own. */
export class Sweep {
  readonly #operation: Swept
  readonly #base: Base

  private constructor(operation: Swept, base: Base) {
    this.#operation = operation
    this.#base = base
  }

  static async prepare(operation: Swept, kind: 'bucket' | 'disk'): Promise<Sweep> {
    const world = new World(1, false)
    try {
      return new Sweep(operation, await world.aside(() => prepare(operation, kind)))
    } finally {
      world.leave()
    }
  }

  /** Steps of the operation, and of the recovery when it has died at none. */
  async lengths(): Promise<{ readonly operation: number; readonly recovery: number }> {
    const whole = await this.run(
      { call: Number.POSITIVE_INFINITY, when: 'before', powerCut: false },
      undefined,
    )
    return { operation: whole.calls, recovery: whole.recoveryCalls }
  }

  /**
   * One run: the operation, a crash, the recovery, perhaps another crash, and another recovery.
   *
   * @returns steps that the operation and its recovery took.
   * @throws Violation
   */
  async run(
    first: Crash,
    second: SecondCrash,
  ): Promise<{ calls: number; recoveryCalls: number; hash: string }> {
    const world = new World(1000 + first.call, false)
    const { options, damaged } = this.#base
    const medium = this.#base.medium.copy()
    const ledger = this.#base.ledger.copy()
    const random = new RandomStream(1000 + first.call, second?.call ?? 0)
    try {
      const calls = await this.#act(world, medium, ledger, 'operation', first, random)
      if (!damaged) await world.aside(() => ledger.verify(medium.copy().directly(), options, false))
      const recoveryCalls = await this.#act(world, medium, ledger, 'recovery', second, random)
      if (second !== undefined) {
        if (!damaged) await world.aside(() => ledger.verify(medium.copy().directly(), options, false))
        await this.#act(world, medium, ledger, 'second recovery', undefined, random)
      }
      await world.aside(() => concludeWith(medium.directly(), options, ledger))
      return { calls, recoveryCalls, hash: world.hash }
    } finally {
      world.leave()
    }
  }

  /** Runs one actor to its end or to its crash, and gives the number of its steps. */
  async #act(
    world: World,
    medium: Medium,
    ledger: Ledger,
    name: string,
    crash: Crash | undefined,
    random: RandomStream,
  ): Promise<number> {
    const { options } = this.#base
    const actor = await world.spawn(name, name, async (self) => {
      const store = medium.storeOf(world, self)
      if (name === 'operation') return await operate(this.#operation, store, options, ledger, name)
      await recover(this.#operation, store, options, ledger, name)
    })
    let calls = 0
    for (; actor.state === 'running'; calls++) {
      const operation = actor.pending[0]
      if (operation === undefined) throw new Violation(`${name} waits for a timer.`)
      if (calls === crash?.call) {
        die(world, actor, operation, crash, random)
        if (crash.powerCut) medium.losePower(random)
        return calls
      }
      await world.step(operation)
    }
    const { outcome } = actor
    if (outcome !== undefined && 'error' in outcome)
      throw new Violation(`${name} failed: ${codeOf(outcome.error)} ${(outcome.error as Error).stack}`)
    return calls
  }
}

/** Of what was in flight besides, anything may have come about. */
function die(world: World, actor: Actor, operation: Operation, { when }: Crash, random: RandomStream): void {
  const others = actor.pending.filter((other) => other !== operation)
  world.kill(actor)
  if (when === 'after' && world.adrift.includes(operation)) world.land(operation)
  for (const other of others) if (world.adrift.includes(other) && random.chance(0.5)) world.land(other)
  world.adrift = []
}

async function prepare(operation: Swept, kind: 'bucket' | 'disk'): Promise<Base> {
  const encrypted = operation.startsWith('key')
  const random = new RandomStream(1)
  const medium = kind === 'disk' ? new DiskMedium(random) : new BucketMedium(random)
  const store = medium.directly()
  const ledger = new Ledger()
  await Repository.init(store, settingsOf({ encrypted }))
  const options = openOptionsOf({ encrypted })
  const repo = await Repository.open(store, options)
  for (const [name, image] of [
    ['old', OLD],
    ['gone', GONE],
  ] as const)
    await backup(repo, ledger, name, image)
  const [, gone] = [...ledger.committed.keys()]
  if (operation !== 'forget') {
    ledger.forgetBegun.add(gone!)
    ledger.forgotten.add(gone!)
    await repo.forget(gone!)
  }
  if (operation === 'key remove') await repo.keys.add({ keyFile: OTHER_KEY })
  const rotten = operation === 'repair index' ? 'index/' : operation === 'repair packs' ? 'packs/' : undefined
  if (rotten !== undefined) {
    const names: string[] = []
    for await (const { name } of store.list(rotten)) names.push(name)
    const name = names.sort()[0]!
    const bytes = await store.get(name)
    bytes[Math.floor(bytes.length / 2)]! ^= 1
    await store.delete(name)
    await store.putIfAbsent(name, [bytes])
  }
  return { medium, ledger, options, damaged: rotten !== undefined || operation === 'key change' }
}

async function backup(
  repo: Repository,
  ledger: Ledger,
  name: string,
  image: BlockImage,
  checkpointBytes?: number,
): Promise<void> {
  const attempt = ledger.begin(name, bytesOf(image))
  const options = { workers: 0, name, ...(checkpointBytes === undefined ? {} : { checkpointBytes }) }
  const { id } = await repo.backup(new MemorySource(attempt.image), options)
  ledger.committed.set(id, attempt)
}

async function operate(
  operation: Swept,
  store: Parameters<typeof Repository.open>[0],
  options: OpenOptions,
  ledger: Ledger,
  name: string,
): Promise<void> {
  const repo = await Repository.open(store, options)
  switch (operation) {
    case 'backup':
      return await backup(repo, ledger, name, NEW)
    case 'long backup':
      return await backup(repo, ledger, name, longImage(100, NEW), 1)
    case 'forget': {
      const id = [...ledger.committed.keys()][1]!
      ledger.forgetBegun.add(id)
      await repo.forget(id)
      ledger.forgotten.add(id)
      return
    }
    case 'prune':
      await repo.prune(undefined, { maxUnusedFraction: 0, patienceSeconds: 0 })
      return
    case 'repair index':
      await repo.repairIndex()
      return
    case 'repair packs':
      await repo.repairPacks({ workers: 0, from: new MemorySource(bytesOf(OLD)) })
      return
    default:
      return await changeKeys(operation, repo)
  }
}

async function changeKeys(operation: Swept, repo: Repository): Promise<void> {
  if (operation === 'key add') await repo.keys.add({ keyFile: OTHER_KEY })
  else if (operation === 'key change') {
    await repo.keys.change({ keyFile: OTHER_KEY })
  } else {
    const other = (await repo.keys.list()).find(({ inUse }) => !inUse)
    if (other !== undefined) await repo.keys.remove(other.id)
  }
}

/** What somebody does who finds that the machine has gone down meanwhile. */
async function recover(
  operation: Swept,
  store: Parameters<typeof Repository.open>[0],
  options: OpenOptions,
  ledger: Ledger,
  name: string,
): Promise<void> {
  if (operation === 'key change') return await recoverKeys(store)
  if (operation !== 'forget' || ledger.forgotten.size === 0) {
    try {
      await operate(operation, store, options, ledger, name)
    } catch (error) {
      // What is forgotten cannot be found.
      if (codeOf(error) !== 'ERR_SNAPSHOT_NOT_FOUND') throw error
    }
  }
  const repo = await Repository.open(store, options)
  await backup(repo, ledger, `${name}, backup`, GONE)
  await repo.prune(undefined, { maxUnusedFraction: 0, patienceSeconds: 0 })
}

/** One of the two keys opens the repository, whenever the change was broken off; the first one is to do so again. */
async function recoverKeys(store: Parameters<typeof Repository.open>[0]): Promise<void> {
  const open = (keyFile: Uint8Array): Promise<Repository> => Repository.open(store, { keyFile })
  try {
    await using _ = await open(KEY_FILE)
  } catch (error) {
    if (codeOf(error) !== 'ERR_WRONG_PASSPHRASE' && codeOf(error) !== 'ERR_NO_KEY_SLOT') throw error
    await using repo = await open(OTHER_KEY)
    await repo.keys.add({ keyFile: KEY_FILE })
  }
}
