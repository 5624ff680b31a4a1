import { appendFile, mkdir, mkdtemp, readdir, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { LocalStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { CampaignProcess } from './campaign-process.ts'
import { type ChildSettings, campaignInit } from './child-settings.ts'
import type { Dice } from './dice.ts'
import type { JournalEntry, Verified } from './journal.ts'
import { Ledger } from './ledger.ts'
import { verify } from './verify.ts'

/** How {@link CampaignRepository.verify} does it. */
export interface VerifyOptions {
  readonly recover: boolean
  /** The index was damaged on purpose, and is to be repaired first. */
  readonly damaged: boolean
  readonly alone: boolean
}

/** What a campaign works on: a repository in a folder, what is known of it, and the journal of all that was said. */
export class CampaignRepository {
  readonly ledger: Ledger
  readonly #folder: string
  readonly #seed: string
  #journal: string[] = []
  #wrong: string | undefined

  private constructor(folder: string, seed: string, encrypted: boolean) {
    this.#folder = folder
    this.#seed = seed
    this.ledger = new Ledger(encrypted ? [0] : [])
  }

  /** Makes one in a new folder under `parent`. */
  static async create(parent: string, seed: string, encrypted: boolean): Promise<CampaignRepository> {
    await mkdir(parent, { recursive: true })
    const made = new CampaignRepository(await mkdtemp(join(parent, 'campaign-')), seed, encrypted)
    await Repository.init(await LocalStore.create(made.path), campaignInit(seed, encrypted))
    return made
  }

  get path(): string {
    return join(this.#folder, 'repository')
  }

  /** Starts a process that waits to be told to go. */
  start(settings: Omit<ChildSettings, 'folder' | 'seed' | 'keys'>): CampaignProcess {
    const { keys } = this.ledger
    const whole = { ...settings, folder: this.path, seed: this.#seed, keys }
    return new CampaignProcess(whole, (entry) => this.#hear(settings.id, entry))
  }

  /**
   * Holds the repository, on which nobody may be at work, against the ledger: with all of it opened anew, if `alone` by
   * a new process.
   *
   * @param options.recover whether what the dead left is to be finished, too.
   * @throws when anything is wrong.
   */
  async verify(id: string, { recover, damaged, alone }: VerifyOptions): Promise<Verified> {
    const { standing, key, keys } = this.ledger
    const settings = {
      job: 'verify',
      id,
      name: '',
      impatient: 1,
      iterations: 1,
      minutes: 1,
      damaged,
      verify: { standing, forgotten: this.ledger.takeForgotten(), key, recover },
    } as const
    let found: Verified | undefined
    if (alone) {
      const verifier = this.start(settings)
      await verifier.heard((entry) => {
        if (entry.event === 'verified') found = entry.found
        return false
      })
    } else {
      const whole = { ...settings, folder: this.path, seed: this.#seed, keys }
      found = await verify(whole).catch((error: Error) => {
        this.#hear(id, { event: 'wrong', what: error.stack ?? error.message })
        return undefined
      })
    }
    await this.assertRight(id)
    if (found === undefined) throw new Error(`${this.#where(id)}: the verification said nothing.`)
    if (recover && found.key !== undefined) this.ledger.onlyKey(found.key)
    return found
  }

  /** Writes the journal down. @throws when anything was wrong. */
  async assertRight(id: string): Promise<void> {
    await appendFile(join(this.#folder, 'journal'), this.#journal.join(''))
    this.#journal = []
    if (this.#wrong !== undefined) throw new Error(`${this.#where(id)}: ${this.#wrong}`)
  }

  /** Removes or cuts short one index segment. */
  async damageIndex(dice: Dice): Promise<boolean> {
    const index = join(this.path, 'index')
    const entries = await readdir(index, { recursive: true, withFileTypes: true }).catch(() => [])
    const files = entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
    if (files.length === 0) return false
    const file = dice.pick(files.sort())
    if (dice.chance(0.5)) await rm(file)
    else await truncate(file, dice.below(100))
    this.#journal.push(`damaged ${file}\n`)
    return true
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
  }

  #hear(id: string, entry: JournalEntry): void {
    this.#journal.push(`${new Date().toISOString()} ${id} ${JSON.stringify(entry)}\n`)
    this.ledger.take(entry)
    if (entry.event === 'wrong') this.#wrong ??= `${id}: ${entry.what}`
  }

  #where(id: string): string {
    return `Seed ${this.#seed}, ${id}; repository and journal are kept in ${this.#folder}`
  }
}
