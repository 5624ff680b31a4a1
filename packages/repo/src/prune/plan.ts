import type { PackId, ReadableStore } from '@platter/core'
import type { PlannedPack, PrunePlan } from '../api/prune-types.ts'
import type { MarkRecord } from '../format/gc-records.ts'
import { packSuite } from '../format/pack-cipher.ts'
import { packFileBytes } from '../format/pack-file.ts'
import { lookBesideCollectors, readGcState, readHints } from '../gc/gc-state.ts'
import type { OpenSession } from '../session/open-sessions.ts'
import type { PruneSettings } from './options.ts'
import { outlivedCheckpoints } from './outlived-checkpoints.ts'
import { lost } from './prepare-sweep.ts'
import { type Selection, selectPacks } from './select-packs.ts'
import { type Survey, type SurveyContext, survey } from './survey.ts'
import { chooseKeepers, type Usage } from './usage.ts'
import { Liveness, observationOf, openSessionsNow } from './writers.ts'

/** A plan, with what executing it needs. */
export interface Planned {
  readonly plan: PrunePlan
  readonly mark: MarkRecord
  readonly survey: Survey
}

/** What making a plan needs of an open repository. */
export interface PlanContext extends SurveyContext<ReadableStore> {
  readonly now: () => Date
}

/** Finds out what a prune would do. Changes nothing. */
export async function makePlan(
  context: PlanContext,
  settings: PruneSettings,
  signal: AbortSignal,
): Promise<Planned> {
  return await lookBesideCollectors(context.store, signal, () => planOnce(context, settings, signal))
}

async function planOnce(
  context: PlanContext,
  settings: PruneSettings,
  signal: AbortSignal,
): Promise<Planned> {
  const now = (): number => context.now().getTime()
  const liveness = new Liveness(settings.patienceSeconds * 1000)
  const { newest, idle } = await readGcState(context.store, signal)
  const last = await readHints(context, newest, signal)
  if (last !== undefined) liveness.observe(last)
  const isDead = (session: OpenSession): boolean => liveness.isDead(session, now())
  const before = await openSessionsNow(context, signal)
  liveness.observe(observationOf(before, now()))
  const dead = new Set(before.filter(isDead).map(({ id }) => id))

  const checkpoints = await outlivedCheckpoints(context.catalog, settings.checkpointDays, now(), signal)
  const found = await survey(
    context,
    { forgotten: new Set(checkpoints), fenced: dead },
    undefined,
    signal,
    (step) => settings.onProgress?.({ ...step, bytesRepacked: 0 }),
  )
  // After the packs: whoever owns one that was listed has declared its session by then.
  const open = (await openSessionsNow(context, signal)).filter(({ id }) => !dead.has(id))
  const aged = new Set(last?.unlisted)
  const isOrphan = (id: PackId): boolean => open.length === 0 || aged.has(id)

  const usage = chooseKeepers(found, new Uint8Array(found.table.packs.length), (entry) => lost(found, entry))
  const selection = selectPacks(found.table, usage, {
    maxUnusedFraction: settings.maxUnusedFraction,
    maxRepackBytes: settings.maxRepackBytes,
    packBytes: context.config.packBytes,
    fileBytes: (blobBytes, entries) => packFileBytes(blobBytes, entries, packSuite(context.keys.pack)),
    isOrphan,
  })
  const packs = plannedPacks(found, usage, selection)
  const { bytesBefore, bytesRemoved, bytesRepacked, unusedFractionBefore, unusedFractionAfter } = selection
  return {
    survey: found,
    mark: {
      condemned: packs.map(({ id }) => id),
      unlisted: found.table.packs
        .filter(({ standing, quarantined, id }) => standing === undefined && !quarantined && !isOrphan(id))
        .map(({ id }) => id),
      ...observationOf(open, now()),
    },
    plan: {
      generation: newest + 1,
      unfinished: idle ? undefined : newest,
      packs,
      quarantined: found.table.packs
        .filter(({ present, quarantined }) => present && quarantined)
        .map(({ id }) => id),
      bytesBefore,
      bytesRemoved,
      bytesRepacked,
      unusedFractionBefore,
      unusedFractionAfter,
      checkpoints,
      writers: [...before.filter(({ id }) => dead.has(id)), ...open].map(({ id, timeMillis }) => ({
        session: id,
        lastSeen: timeMillis === undefined ? undefined : new Date(timeMillis).toISOString(),
        dead: dead.has(id),
      })),
    },
  }
}

function plannedPacks({ table }: Survey, usage: Usage, selection: Selection): PlannedPack[] {
  const fates = [
    ['unreferenced', selection.unreferenced],
    ['unlisted', selection.unlisted],
    ['repack', selection.repack],
  ] as const
  return fates.flatMap(([fate, numbers]) =>
    numbers.map((i) => {
      const { id, fileBytes } = table.packs[i]!
      return { id, fate, fileBytes, usedBytes: usage.usedBytes[i]! }
    }),
  )
}
