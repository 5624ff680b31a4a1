import { CampaignRepository } from './campaign-repository.ts'
import type { Verified } from './journal.ts'

/** Options of {@link crowdCampaign}. */
export interface CrowdOptions {
  readonly writers: number
  readonly pruners: number
  readonly readers: number
  /** Backups of each writer, at most; all others go on until the last writer has ended. */
  readonly iterations: number
  /** Time after which no writer begins another backup. */
  readonly minutes: number
  readonly seed: string
  /** Where the repository is made. That of a campaign that fails stays. */
  readonly parent: string
}

/** What a crowd has done. */
export interface CrowdReport {
  /** How jobs ended: 'backup done', 'read forgotten meanwhile, ERR_CHUNK_MISSING'. */
  readonly outcomes: ReadonlyMap<string, number>
  readonly acknowledged: number
  readonly verified: Verified
}

/** Share of prunes that end every writer at once; the others wait, or leave the rest to the next. */
const IMPATIENT = 0.05

/**
 * Writers, pruners and readers, each a process, together on one repository. No reader may ever miss anything of a
 * snapshot that is still there, or read a wrong byte; in the end all that was acknowledged and not forgotten is there.
 *
 * @throws when something is wrong, and says where the repository is kept.
 */
export async function crowdCampaign(options: CrowdOptions): Promise<CrowdReport> {
  const { writers, pruners, readers, seed, parent, iterations, minutes } = options
  const repository = await CampaignRepository.create(parent, seed, true)
  const crowd = [
    ...Array.from({ length: writers }, (_, i) => ({ job: 'backup', name: `disk-${i % 5}` }) as const),
    ...Array.from({ length: pruners }, (_, i) => ({ job: 'prune', name: `${i}` }) as const),
    ...Array.from({ length: readers }, (_, i) => ({ job: 'read', name: `${i}` }) as const),
    // Something has to become garbage.
    { job: 'forget', name: '' } as const,
  ]
  const processes = crowd.map(({ job, name }, i) =>
    repository.start({
      job,
      name,
      id: `${job}.${i}`,
      impatient: IMPATIENT,
      damaged: false,
      ...(job === 'backup'
        ? { iterations, minutes }
        : { iterations: Number.MAX_SAFE_INTEGER, minutes: minutes + 1 }),
    }),
  )
  await Promise.all(processes.map(({ ready }) => ready))
  for (const one of processes) one.go()
  await Promise.all(processes.slice(0, writers).map(({ ended }) => ended))
  for (const one of processes) one.finish()
  await Promise.all(processes.map(({ ended }) => ended))
  await repository.assertRight('crowd')
  const verified = await repository.verify('verification', { recover: true, damaged: false, alone: true })
  const { outcomes, acknowledged } = repository.ledger
  await repository.remove()
  return { outcomes, acknowledged, verified }
}
