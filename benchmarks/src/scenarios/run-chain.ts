import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from '../measure/command.ts'
import { folderBytes } from '../measure/folder-size.ts'
import { type Measurement, measure } from '../measure/measure.ts'
import { warmPageCache } from '../measure/page-cache.ts'
import { haveSameContent } from '../measure/same-content.ts'
import type { Image, Peer, Site } from '../peers/peer.ts'
import type { Run } from '../report/results.ts'
import { SCENARIO_IDS, type ScenarioId } from './scenario.ts'

/** What the steps of a chain work on. */
export interface ChainContext {
  readonly images: Readonly<Record<'A' | 'B' | 'C', Image>> & { readonly huge?: Image }
  /** A folder for repositories. */
  readonly repoDir: string
  /** A folder for restored images. */
  readonly targetDir: string
  readonly timeoutSeconds: number
  readonly signal?: AbortSignal
}

/**
 * Runs the wanted scenarios of one peer once, one after the other in the same repository, and yields each result.
 *
 * Scenarios that build upon others have those run as well. Ends with an error at the first step that fails.
 */
export async function* runChain(
  peer: Peer,
  wanted: ReadonlySet<ScenarioId>,
  context: ChainContext,
): AsyncGenerator<{ readonly scenario: ScenarioId; readonly run: Run }> {
  const needed = withPrerequisites(wanted)
  const steps = SCENARIO_IDS.filter((id) => needed.has(id) && peer.scenarios.includes(id))
  const inOneRepository = steps.filter((id) => id !== 'sparse')
  for (const chain of [inOneRepository, steps.filter((id) => id === 'sparse')]) {
    if (chain.length === 0) continue
    const folder = join(context.repoDir, `platter-bench-${process.pid}`)
    const site = { repo: join(folder, 'repo'), home: join(folder, 'home') }
    try {
      await mkdir(site.repo, { recursive: true })
      await mkdir(site.home)
      for (const command of peer.create(site, context.images.A)) await measure(command, context)
      for (const scenario of chain) {
        const run = await runStep(peer, scenario, site, context)
        if (wanted.has(scenario)) yield { scenario, run }
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }
}

const PREREQUISITE: Readonly<Partial<Record<ScenarioId, ScenarioId>>> = {
  unchanged: 'first',
  readback: 'first',
  restore: 'first',
  changed: 'first',
  relaid: 'changed',
  check: 'first',
}

function withPrerequisites(wanted: ReadonlySet<ScenarioId>): Set<ScenarioId> {
  const needed = new Set<ScenarioId>()
  for (const id of wanted) {
    for (let next: ScenarioId | undefined = id; next !== undefined; next = PREREQUISITE[next])
      needed.add(next)
  }
  return needed
}

async function runStep(peer: Peer, scenario: ScenarioId, site: Site, context: ChainContext): Promise<Run> {
  const { A, B, C, huge } = context.images
  switch (scenario) {
    case 'first':
      return backUp(peer, site, A, 'a1', context)
    case 'unchanged':
      return backUp(peer, site, A, 'a2', context)
    case 'changed':
      return backUp(peer, site, B, 'b1', context)
    case 'relaid':
      return backUp(peer, site, C, 'c1', context)
    case 'sparse':
      return backUp(peer, site, huge!, 'huge', context)
    case 'readback':
      return withoutGrowth(await measure(peer.readBack!(site, A, 'a1'), context))
    case 'restore':
      return restore(peer, site, A, context)
    case 'check':
      return withoutGrowth(await measure(peer.check!(site), context))
  }
}

async function backUp(
  peer: Peer,
  site: Site,
  image: Image,
  archive: string,
  context: ChainContext,
): Promise<Run> {
  const input = peer.input(image)
  // Holes would fill the memory with pages of zeros: of the huge image, let each program read what it reads.
  if (input !== undefined && image !== context.images.huge) await warmPageCache(input, context.signal)
  const before = await folderBytes(site.repo)
  const measurement = await measure(peer.backup(site, image, archive), context)
  return { ...measurement, growthBytes: (await folderBytes(site.repo)) - before }
}

async function restore(peer: Peer, site: Site, image: Image, context: ChainContext): Promise<Run> {
  const target = join(context.targetDir, `platter-bench-${process.pid}.img`)
  const command: Command = peer.restore!(site, image, 'a1', target)
  try {
    const measurement = await measure(command, context)
    if (!(await haveSameContent(target, image.path, context.signal))) {
      throw new Error(`${peer.title} restored an image that differs from what was backed up.`)
    }
    return withoutGrowth(measurement)
  } finally {
    await rm(target, { force: true })
  }
}

function withoutGrowth(measurement: Measurement): Run {
  return { ...measurement, growthBytes: 0 }
}
