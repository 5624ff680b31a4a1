import { PlatterError, type ReadableStore } from '@platter/core'

const GC_PREFIX = 'gc/'

/**
 * Refuses to go on while a prune is under way or was cut off: a pack that it is about to remove must not be listed
 * again, and only the prune's own end says which those are.
 *
 * @throws ERR_PRUNE_UNFINISHED
 */
export async function assertNoUnfinishedPrune(store: ReadableStore, signal: AbortSignal): Promise<void> {
  const begun = new Set<string>()
  const done = new Set<string>()
  for await (const { name } of store.list(GC_PREFIX, { signal })) {
    const [, generation, kind] = /^gc\/([0-9]+)\.(mark|sweep|done)$/.exec(name) ?? []
    if (generation === undefined) continue
    if (kind === 'done') done.add(generation)
    else begun.add(generation)
  }
  for (const generation of begun) {
    if (done.has(generation)) continue
    throw new PlatterError(
      'ERR_PRUNE_UNFINISHED',
      `Prune number ${Number(generation)} is under way or was cut off. Let it end, or run a prune to finish it, and repair then.`,
      { object: `${GC_PREFIX}${generation}.mark` },
    )
  }
}
