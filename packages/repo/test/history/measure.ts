import type { Repository } from '@platter/repo'

/** What is measured: reading the index, planning a prune, planning what a policy forgets. */
export type Measured = 'open' | 'plan' | 'forget'

/** What something took, and what came of it. */
export interface Measurement {
  readonly cpuSeconds: number
  readonly seconds: number
  /** Of the whole process so far. */
  readonly peakMebibytes: number
  readonly result: Readonly<Record<string, number>>
}

/** Does one thing and tells what it took. For its memory to be told, the process has to be a new one. */
export async function measure(repository: Repository, what: Measured): Promise<Measurement> {
  const started = performance.now()
  const before = process.cpuUsage()
  const result = await WORK[what](repository)
  const { user, system } = process.cpuUsage(before)
  return {
    cpuSeconds: (user + system) / 1e6,
    seconds: (performance.now() - started) / 1000,
    peakMebibytes: process.resourceUsage().maxRSS / 1024,
    result,
  }
}

const WORK: Readonly<
  Record<Measured, (repository: Repository) => Promise<Readonly<Record<string, number>>>>
> = {
  async open(repository) {
    const image = await repository.openImage('latest')
    await image.close()
    return { sizeBytes: image.sizeBytes }
  },
  async plan(repository) {
    const { packs, bytesBefore, bytesRemoved, bytesRepacked } = await repository.planPrune()
    return { packs: packs.length, bytesBefore, bytesRemoved, bytesRepacked }
  },
  async forget(repository) {
    const policy = { keepDaily: 14, keepWeekly: 8, keepMonthly: 24 }
    const { snapshots, bytesFreed = 0 } = await repository.planForget({ policy })
    return { forgotten: snapshots.filter(({ keep }) => !keep).length, bytesFreed }
  },
}
