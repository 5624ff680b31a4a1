import { setTimeout as delay } from 'node:timers/promises'
import type { CampaignProcess } from './campaign-process.ts'
import { CampaignRepository } from './campaign-repository.ts'
import { Dice } from './dice.ts'
import { IDLE } from './jobs.ts'
import type { Job } from './journal.ts'
import { count } from './ledger.ts'

/** Options of {@link killCampaign}. */
export interface KillOptions {
  readonly rounds: number
  readonly seed: string
  /** Where the repositories are made. Those of campaigns that fail stay. */
  readonly parent: string
  /** Processes that run at once, besides the one that kills them. */
  readonly processes: number
  /** A new repository is begun after so many rounds, in turn with and without encryption. */
  readonly roundsPerRepository: number
  readonly onRound?: (report: KillReport) => void
  /** Ends the campaign after the round under way. */
  readonly signal?: AbortSignal
}

/** What a campaign of kills has done. */
export interface KillReport {
  rounds: number
  /** Where kills landed: 'prune, removing' and the like, and 'between jobs'. */
  readonly kills: Map<string, number>
  /** How jobs ended that were not killed. */
  readonly outcomes: Map<string, number>
  acknowledged: number
  /** Snapshots restored and compared, one as often as it was. */
  snapshotsVerified: number
  checkpointsVerified: number
  /** Rounds after which a prune had been cut off between its mark and its end. */
  prunesUnfinished: number
  recoveries: number
  temporaryFilesCleaned: number
}

/** One round in so many begins with a damaged index. */
const DAMAGE_EVERY = 6
/** After one round in so many the verification is a process of its own; starting one takes longer than verifying. */
const ALONE_EVERY = 5
/** Kills that do not wait for a time but for a moment. */
const KILLS_AT_MOMENTS = 0.35
/** Within what time the first process of a kind is killed, and by how much that grows. */
const FIRST_MILLIS = 400
const GROWTH = 1.15
const IMAGES = ['disk-a', 'disk-b', 'disk-c'] as const

/**
 * Rounds of processes that work on one repository and are killed at random moments. After each, a new process verifies
 * that everything acknowledged and everything committed is there, bit for bit, and nothing is damaged. After some, it
 * finishes what the dead left; after others, this is left to the next to be killed.
 *
 * The seed decides who does what to which data and how long each is let live, but the moment of a kill is the machine's.
 *
 * @throws when something is wrong, and says where the repository is kept.
 */
export async function killCampaign(options: KillOptions): Promise<KillReport> {
  return await new KillCampaign(options).run()
}

class KillCampaign {
  readonly #options: KillOptions
  readonly #report: KillReport = {
    rounds: 0,
    kills: new Map(),
    outcomes: new Map(),
    acknowledged: 0,
    snapshotsVerified: 0,
    checkpointsVerified: 0,
    prunesUnfinished: 0,
    recoveries: 0,
    temporaryFilesCleaned: 0,
  }
  /** Within what time processes of a kind are killed. */
  readonly #longestMillis = new Map<Job, number>()
  /** Whether nothing is left to finish, so that the index may be damaged without being in a prune's way. */
  #recovered = true

  constructor(options: KillOptions) {
    this.#options = options
  }

  async run(): Promise<KillReport> {
    const { rounds, roundsPerRepository, signal } = this.#options
    for (let first = 0; first < rounds && signal?.aborted !== true; first += roundsPerRepository)
      await this.#history(first, Math.min(rounds, first + roundsPerRepository))
    return this.#report
  }

  /** The rounds of one repository. */
  async #history(first: number, end: number): Promise<void> {
    const { roundsPerRepository, parent, seed, onRound, signal } = this.#options
    const encrypted = (first / roundsPerRepository) % 2 === 0
    const repository = await CampaignRepository.create(parent, `${seed}.${first}`, encrypted)
    this.#recovered = true
    for (let round = first; round < end && signal?.aborted !== true; round++) {
      await this.#round(repository, round, round === end - 1)
      this.#report.rounds++
      onRound?.(this.#report)
    }
    this.#report.acknowledged += repository.ledger.acknowledged
    for (const [outcome, times] of repository.ledger.outcomes) count(this.#report.outcomes, outcome, times)
    await repository.remove()
  }

  async #round(repository: CampaignRepository, round: number, isLast: boolean): Promise<void> {
    const dice = new Dice(`${this.#options.seed}|round ${round}`)
    const isDue = round % DAMAGE_EVERY === DAMAGE_EVERY - 1 && this.#recovered
    const damaged = isDue && (await repository.damageIndex(dice))
    const jobs = this.#jobs(dice, damaged, repository.ledger.keys.length > 0)
    const processes = jobs.map((job, i) =>
      repository.start({
        job,
        id: `${round}.${i}`,
        name: IMAGES[i % IMAGES.length]!,
        impatient: 0.6,
        iterations: 1000,
        minutes: 1,
        damaged,
      }),
    )
    await Promise.all(processes.map(({ ready }) => ready))
    for (const one of processes) one.go()
    const together = dice.chance(0.1) ? dice.fraction() : undefined
    await Promise.all(processes.map((one) => this.#kill(one, dice, together)))
    await repository.assertRight(`round ${round}`)
    await this.#verify(repository, round, damaged, isLast || damaged || dice.chance(0.4))
  }

  /** Always a backup and a prune, and in a damaged repository a repair. */
  #jobs(dice: Dice, damaged: boolean, encrypted: boolean): Job[] {
    const others: Job[] = ['backup', 'backup', 'forget', 'forget', 'prune', 'repair']
    if (encrypted) others.push('rekey')
    const jobs: Job[] = ['backup', 'prune']
    if (damaged) jobs.push('repair')
    // One key change at a time: of two, neither would know the other's key.
    while (jobs.length < this.#options.processes) {
      const job = dice.pick(others)
      if (job !== 'rekey' || !jobs.includes('rekey')) jobs.push(job)
    }
    return jobs
  }

  /**
   * Kills a process after a random time, or a moment after it said something.
   *
   * @param together share of the longest time after which all are killed, when it is to be the same for all.
   */
  async #kill(one: CampaignProcess, dice: Dice, together: number | undefined): Promise<void> {
    const fraction = dice.fraction()
    const longest = this.#longestMillis.get(one.job) ?? FIRST_MILLIS
    const moment = dice.pick(MOMENTS[one.job] ?? [''])
    const afterwards = dice.below(4)
    const isAtMoment = together === undefined && dice.chance(KILLS_AT_MOMENTS)
    let ends = 0
    let works = 0
    void one.heard((entry) => {
      if (entry.event === 'end') ends++
      if (entry.event === 'end' && !IDLE.has(entry.outcome)) works++
      return false
    })
    if (isAtMoment) {
      const heard = one.heard((entry) =>
        entry.event === 'phase' ? entry.phase === moment : entry.event === moment,
      )
      await Promise.race([delay(longest * 2), heard.then(() => delay(afterwards))])
    } else {
      await delay(longest * (together ?? fraction))
      // So that half of the kills come before the first job is done, however fast the machine is.
      if (works > 0 || ends === 0)
        this.#longestMillis.set(one.job, longest * (works > 0 ? 1 / GROWTH : GROWTH))
    }
    one.kill()
    await one.ended
    const { busy } = one
    count(this.#report.kills, busy === undefined ? 'between jobs' : `${busy.job}, ${busy.phase}`)
  }

  async #verify(
    repository: CampaignRepository,
    round: number,
    damaged: boolean,
    recover: boolean,
  ): Promise<void> {
    const alone = round % ALONE_EVERY === 0
    const found = await repository.verify(`round ${round}, verification`, { recover, damaged, alone })
    const report = this.#report
    report.snapshotsVerified += found.snapshots
    report.checkpointsVerified += found.checkpoints
    if (found.unfinished) report.prunesUnfinished++
    if (recover) {
      report.recoveries++
      report.temporaryFilesCleaned += found.temporaryFiles
    }
    this.#recovered = recover
  }
}

/** What a process says shortly before, or after, the steps that count. */
const MOMENTS: Partial<Record<Job, readonly string[]>> = {
  backup: ['acknowledged', 'committing', 'reading'],
  prune: ['trees', 'waiting', 'repacking', 'removing', 'end'],
  forget: ['forgetting', 'forgotten'],
  repair: ['packs', 'commit', 'end'],
  rekey: ['rekeying', 'rekeyed'],
}
