import { PlatterError, type SnapshotId } from '@platter/core'
import type { ForgetPlan, ForgetSelection, PlanForgetOptions } from '../api/forget-types.ts'
import type { RetentionDecision } from '../api/retention-types.ts'
import type { ByteRange, Snapshot } from '../api/snapshot-types.ts'
import type { BlobReader } from '../pack/blob-reader.ts'
import type { SnapshotCatalog } from '../snapshots/snapshot-catalog.ts'
import { freedBytes } from './freed-bytes.ts'
import { planRetention } from './plan-retention.ts'

/** What planning needs of an open repository. */
export interface PlanForgetContext {
  readonly catalog: SnapshotCatalog
  readonly regionBytes: number
  readonly now: () => Date
  /** Ranges of images that a repair has marked as lost. */
  readonly lost: () => Promise<ReadonlyMap<SnapshotId, readonly ByteRange[]>>
  /** A reader whose index is loaded when this is called. */
  readonly reader: () => Promise<BlobReader>
}

/** Plans what to forget; see `Repository.planForget`. */
export async function planForget(
  context: PlanForgetContext,
  selection: ForgetSelection,
  options: PlanForgetOptions,
): Promise<ForgetPlan> {
  const decisions = await decide(context, selection, options.signal)
  if (options.sizes === false) {
    return {
      snapshots: decisions.map((decision) => ({ ...decision, bytesFreed: undefined })),
      bytesFreed: undefined,
    }
  }
  const removed = decisions.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot)
  const removedIds = new Set(removed.map(({ id }) => id))
  // What the selection leaves out needs its data too. One that cannot be read makes this throw: whatever it shares
  // would be taken for free.
  const all = await context.catalog.list({ checkpoints: true }, options.signal)
  const kept = all.filter(({ id }) => !removedIds.has(id))
  const total = kept.length + removed.length
  const lost = await context.lost()
  // The index after the snapshots: it then names all that they need.
  const reader = await context.reader()
  const { regionBytes } = context
  const { alone, together } = await freedBytes(
    { reader, regionBytes, kept, removed, lost },
    options.signal,
    (done) => options.onProgress?.({ done, total }),
  )
  const numbers = new Map([...kept, ...removed].map(({ id }, number) => [id, number]))
  return {
    snapshots: decisions.map((decision) => {
      const number = numbers.get(decision.snapshot.id)
      return { ...decision, bytesFreed: number === undefined ? 0 : alone[number]! }
    }),
    bytesFreed: together,
  }
}

async function decide(
  { catalog, now }: PlanForgetContext,
  selection: ForgetSelection,
  signal: AbortSignal | undefined,
): Promise<RetentionDecision<Snapshot>[]> {
  if ('policy' in selection) {
    const { policy, timeZone, name, host } = selection
    const filter = { ...(name === undefined ? {} : { name }), ...(host === undefined ? {} : { host }) }
    const zone = timeZone === undefined ? {} : { timeZone }
    return planRetention(await catalog.list(filter, signal), policy, { now: now(), ...zone })
  }
  if (!Array.isArray(selection.snapshots) || selection.snapshots.length === 0)
    throw new PlatterError('ERR_INVALID_ARGUMENT', 'Name at least one snapshot to forget, or give a policy.')
  const chosen = new Map<string, Snapshot>()
  for (const reference of selection.snapshots) {
    const snapshot = await catalog.resolve(reference, signal)
    chosen.set(snapshot.id, snapshot)
  }
  return [...chosen.values()]
    .sort((a, b) => Date.parse(a.time) - Date.parse(b.time) || (a.id < b.id ? -1 : 1))
    .map((snapshot) => ({ snapshot, keep: false, reasons: [] }))
}
