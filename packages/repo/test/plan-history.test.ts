// Plans on a simulated history, judged by what its writer knows; scripts/plan-history.mjs measures them on a long one.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PackId } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { test } from 'tap'
import { measure } from './history/measure.ts'
import { CHUNKS_PER_REGION, forgetHalf, type WrittenHistory, writeHistory } from './history/write-history.ts'

const SNAPSHOTS = 20
const KEY_FILE = new Uint8Array(32).fill(7)

/** Packs of chunks of which a snapshot in `live` needs none, as the writer of the history knows it. */
function unneeded(history: WrittenHistory, live: readonly ReadonlySet<string>[]): Set<PackId> {
  const needs = (chunk: string): boolean => live.some((chunks) => chunks.has(chunk))
  return new Set([...history.packs].filter(([, chunks]) => !chunks.some(needs)).map(([id]) => id))
}

/** Ids of all chunks of a disk. */
function chunksOf(regions: readonly Uint8Array[]): Set<string> {
  return new Set(
    regions.flatMap((ids) =>
      Array.from({ length: CHUNKS_PER_REGION }, (_, i) =>
        Buffer.from(ids.subarray(i * 32, (i + 1) * 32)).toString('hex'),
      ),
    ),
  )
}

for (const [what, keyFile] of [
  ['not encrypted', undefined],
  ['encrypted', KEY_FILE],
] as const) {
  test(`what is planned on a history is what its writer expects: ${what}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'platter-history-'))
    t.teardown(async () => await rm(folder, { recursive: true }))
    const days: Set<string>[] = []
    // Most of a day's chunks are in packs with those of other days that nobody needs, and some packs are all his.
    const shape = { snapshots: SNAPSHOTS, gibibytes: 1, touchedRegions: 0.5, touchedChunks: 1 }
    const options = keyFile === undefined ? {} : { keyFile }
    const history = await writeHistory(folder, { ...shape, ...options }, (_, regions) => {
      days.push(chunksOf(regions))
    })
    t.equal(history.snapshots.length, SNAPSHOTS)
    const repository = await Repository.open(new LocalStore(folder), options)

    const gone = async (): Promise<Set<PackId>> => {
      const { packs } = await repository.planPrune({ maxUnusedFraction: 1 })
      return new Set(
        packs.filter(({ id, fate }) => fate === 'unreferenced' && history.packs.has(id)).map(({ id }) => id),
      )
    }
    t.same(unneeded(history, days), new Set(), 'all is needed')
    t.same(await gone(), new Set())
    const { cpuSeconds, peakMebibytes, result } = await measure(repository, 'forget')
    t.ok(cpuSeconds > 0 && peakMebibytes > 0 && result.bytesFreed! > 0)

    await forgetHalf(repository)
    const live = days.filter((_, i) => i % 2 === 1)
    const expected = unneeded(history, live)
    t.ok(expected.size > 5, `${expected.size} packs`)
    t.same([...(await gone())].sort(), [...expected].sort())
    for (const kind of ['open', 'plan'] as const) t.ok((await measure(repository, kind)).seconds > 0)
  })
}
