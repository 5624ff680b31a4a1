// What stands in a store may not be durable: who created it may have died before that. Whoever relies on it settles it
// first, so that a power cut takes nothing that a snapshot needs.
import type { RandomSource, Store } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { type BackupOptions, type PruneOptions, Repository, type Snapshot } from '@platter/repo'
import { type Test, test } from 'tap'
import {
  backUp,
  codeOf,
  collected,
  newRepository,
  noise,
  objectNames,
  restored,
  SETTINGS,
  sameBytes,
} from './adversity.ts'
import { seededRandom } from './images.ts'
import { SteppedStore } from './interleaving.ts'
import { Disk } from './simulation/disk.ts'
import { DiskFileSystem, type Perform, STORE_PATH, systemError } from './simulation/disk-file-system.ts'
import { RandomStream } from './simulation/random-stream.ts'

/** Takes every writer that has not committed for dead at once, and leaves nothing unused. */
const THOROUGH: PruneOptions = { patienceSeconds: 0, maxUnusedFraction: 0 }

/** As little as can be of what was not synced arrives on a disk. */
class NothingArrives extends RandomStream {
  override fraction(): number {
    return 0
  }
}

/** A repository on a disk that can be made to fail, and to lose what is not durable. */
class FrailRepository {
  /** System calls that fail. */
  failing: RegExp | undefined
  readonly #disk: Disk
  readonly #random: RandomSource

  private constructor(disk: Disk, random: RandomSource) {
    this.#disk = disk
    this.#random = random
  }

  /** With keys, and so with cuts, of its own, whichever tests ran before. */
  static async create(): Promise<FrailRepository> {
    const random = seededRandom(1)
    const frail = new FrailRepository(new Disk(), random)
    await newRepository(frail.store(), { ...SETTINGS, random })
    return frail
  }

  copy(): FrailRepository {
    return new FrailRepository(this.#disk.copy(), this.#random)
  }

  /** What another process has of it, which knows nothing of what is durable. */
  store(): LocalStore {
    const perform: Perform = async ({ label }, effect) => {
      if (this.failing?.test(label)) throw systemError('EIO', label)
      return effect()
    }
    return new LocalStore(STORE_PATH, { fileSystem: new DiskFileSystem(this.#disk, perform, () => 0) })
  }

  async open(): Promise<Repository> {
    return await Repository.open(this.store(), { random: this.#random })
  }

  async backUp(image: Uint8Array, options?: BackupOptions): Promise<Snapshot> {
    return await backUp(await this.open(), image, options)
  }

  /** Does something while system calls fail that are like `failing`, which makes it fail too. */
  async fail(t: Test, failing: RegExp, work: () => Promise<unknown>): Promise<void> {
    this.failing = failing
    t.equal(await codeOf(work()), 'ERR_STORE_IO', `ended by ${failing}`)
    this.failing = undefined
  }

  cutPower(): void {
    this.#disk.losePower(new NothingArrives(0))
  }

  /** Removes an object and puts it back, as people do with a copy that they have: its folder is not synced. */
  putBack(name: string): void {
    const path = name.split('/')
    const object = path.pop()!
    let folder = this.#disk.root
    for (const entry of path) folder = folder.entries.get(entry)!
    const inode = folder.entries.get(object)!
    folder.set(object, undefined)
    folder.sync()
    folder.set(object, inode)
  }

  async assertRestores(t: Test, { id }: Snapshot, image: Uint8Array, what: string): Promise<void> {
    const outcome = restored(await this.open(), id).then(
      (bytes) => (sameBytes(bytes, image) ? 'as it was' : 'other bytes'),
      String,
    )
    t.equal(await outcome, 'as it was', what)
  }
}

const WHOLE = noise('whole', 300_000)
/** Needs a part of some packs that `WHOLE` is in, and nothing of others. */
const PART = Uint8Array.from(WHOLE)
PART.set(noise('other', 150_000), 150_000)
for (let at = 0; at < 150_000; at += 40_000) PART.set(noise(`${at}`, 20_000), at)

/** A snapshot of `PART`, and a prune that condemned packs of which that needs a part, and died before it moved anything. */
async function condemned(t: Test): Promise<{
  readonly frail: FrailRepository
  readonly part: Snapshot
  readonly prune: () => Promise<unknown>
}> {
  const frail = await FrailRepository.create()
  const whole = await frail.backUp(WHOLE, { name: 'whole' })
  const part = await frail.backUp(PART, { name: 'part' })
  await (await frail.open()).forget(whole.id)
  const prune = async (): Promise<unknown> => (await frail.open()).prune(undefined, THOROUGH)
  const packs = await objectNames(frail.store(), 'packs/')
  // What it moves belongs to a session, which is fenced first.
  await frail.fail(t, /^link snapshots\//, prune)
  t.same(await objectNames(frail.store(), 'gc/'), ['gc/1.mark'])
  t.same(await objectNames(frail.store(), 'packs/'), packs)
  return { frail, part, prune }
}

test('what a session said goes only when its snapshot is durable', async (t) => {
  const frail = await FrailRepository.create()
  // The snapshot stands, but not for long.
  await frail.fail(t, /^sync snapshots$/, () => frail.backUp(WHOLE))
  await (await frail.open()).prune(undefined, THOROUGH)
  frail.cutPower()
  t.equal((await collected((await frail.open()).snapshots())).length, 1, 'it was taken for committed')
})

test('a sweep does not rest on a segment that is not durable', async (t) => {
  const { frail, part, prune } = await condemned(t)
  const packs = (await objectNames(frail.store(), 'packs/')).length
  // So a backup stores anew what is in them; it dies when its segment stands, and is not durable.
  await frail.fail(t, /^sync index/, () => frail.backUp(PART, { name: 'dead' }))
  t.ok((await objectNames(frail.store(), 'packs/')).length > packs)
  // It began after that prune, which therefore believes it, and need not end it. The next one would.
  await frail.fail(t, /^link gc\/2\.mark/, prune)
  t.same(await objectNames(frail.store(), 'gc/'), ['gc/1.done', 'gc/1.mark', 'gc/1.sweep'])
  frail.cutPower()
  await frail.assertRestores(t, part, PART, 'after the power cut')
})

test('a sweep does not rest on a pack that was put back and is not durable', async (t) => {
  const original = await FrailRepository.create()
  // Two backups at once: both find the data new, and store it.
  let second: Snapshot | undefined
  const slow = new SteppedStore(original.store(), async (call) => {
    if (second === undefined && call.startsWith('put packs/')) second = await original.backUp(WHOLE)
  })
  const first = await backUp(await Repository.open(slow), WHOLE)
  let removed = 0
  for (const name of await objectNames(original.store(), 'packs/')) {
    const frail = original.copy()
    frail.putBack(name)
    const { packsRemoved } = await (await frail.open()).prune(undefined, THOROUGH)
    removed += packsRemoved
    frail.cutPower()
    await frail.assertRestores(t, first, WHOLE, name)
    await frail.assertRestores(t, second!, WHOLE, name)
  }
  t.ok(removed > 0, 'everything was there twice')
})

test('a sweep does not rest on a fence that is not durable', async (t) => {
  const frail = await FrailRepository.create()
  const kept = await frail.backUp(PART, { name: 'kept' })
  const gone = await frail.backUp(noise('gone', 100_000), { name: 'gone' })
  const prune = async (): Promise<unknown> => (await frail.open()).prune(undefined, THOROUGH)
  const packs = (await objectNames(frail.store(), 'packs/')).length
  // The power of a server is cut: its clients live.
  const slow = new SteppedStore(frail.store(), async (call) => {
    if (!call.startsWith('put snapshots/')) return
    await (await frail.open()).forget(gone.id)
    await frail.fail(t, /^sync snapshots$/, prune)
    await frail.fail(t, /^link gc\/1\.done/, prune)
    t.ok((await objectNames(frail.store(), 'packs/')).length < packs, 'what the writer relies on is gone')
    frail.cutPower()
  })
  const late = backUp(await Repository.open(slow), noise('gone', 100_000), { name: 'late' })
  t.equal(await codeOf(late), 'ERR_SESSION_FENCED')
  await frail.assertRestores(t, kept, PART, 'after the power cut')
})

/** A store that does something ahead of the first call like `call`, and is gone before a second generation begins. */
function before(store: Store, call: string, meanwhile: () => Promise<void>): Store {
  let isDone = false
  return new SteppedStore(store, async (made) => {
    if (made === 'put gc/2.mark') throw new Error('The process dies.')
    if (isDone || made !== call) return
    isDone = true
    await meanwhile()
  })
}

test('a sweep is durable before anybody does what it says', async (t) => {
  for (const finish of ['prune', 'repairIndex'] as const) {
    const { frail, part, prune } = await condemned(t)
    const lazy: PruneOptions = { ...THOROUGH, maxRepackBytes: 0 }
    let goOn = (): void => {}
    const cut = new Promise<void>((resolve) => {
      goOn = resolve
    })
    // Two collectors at one generation. One would move what is needed, the other leaves it where it is.
    let other: Promise<string> | undefined
    const moving = before(frail.store(), 'put gc/1.sweep', async () => {
      await new Promise<void>((resolve) => {
        const slow = before(frail.store(), 'put gc/1.sweep', async () => {
          resolve()
          await cut
        })
        other = Repository.open(slow).then((repo) => codeOf(repo.prune(undefined, lazy)))
      })
      frail.failing = /^sync gc$/
    })
    const code = await codeOf((await Repository.open(moving)).prune(undefined, THOROUGH))
    frail.failing = undefined
    t.equal(code, 'ERR_STORE_IO')
    // A third does what the sweep says that it finds, nearly to the end.
    const packs = (await objectNames(frail.store(), 'packs/')).length
    await frail.fail(t, /^link gc\/1\.done/, async () =>
      finish === 'prune' ? await prune() : await (await frail.open()).repairIndex(),
    )
    t.ok((await objectNames(frail.store(), 'packs/')).length < packs, 'packs are gone')
    // It is the power of a server: the slow one, elsewhere, goes on.
    frail.cutPower()
    goOn()
    await other
    t.ok((await objectNames(frail.store(), 'gc/')).includes('gc/1.done'))
    const again = await frail.backUp(WHOLE, { name: 'again' })
    await frail.assertRestores(t, part, PART, 'what was there before')
    await frail.assertRestores(t, again, WHOLE, 'what would rely on packs that are gone')
  }
})

test('a repair lists no pack that is not durable', async (t) => {
  const frail = await FrailRepository.create()
  const image = noise('small', 30_000)
  await frail.fail(t, /^sync packs/, () => frail.backUp(image, { name: 'dead' }))
  t.ok((await (await frail.open()).repairIndex()).packsListed > 0, 'its pack stands')
  const relying = await frail.backUp(image, { name: 'relying' })
  t.ok(relying.stats.bytesNew < 10_000, `${relying.stats.bytesNew} bytes are new`)
  frail.cutPower()
  await frail.assertRestores(t, relying, image, 'after the power cut')
})
