import type { BlockTarget, DirectWrite, PreparedTarget, TargetCallOptions, TargetInfo } from '@platter/core'
import { PlatterError } from '@platter/core'
import type { ByteRange } from '../partitions/partition-table.ts'
import type { DiskRestorePlan } from './disk-restore-plan.ts'

const MARK_BYTES = 512

/** What of an image a plan has restored in between, as `Repository.restore` takes it. */
export interface RestoredPart {
  readonly range: ByteRange
  readonly except: readonly ByteRange[]
}

/**
 * Brings a disk to its place as planned. First the beginning of the target, and what there may be of another partition
 * table, is cleared and marked as incomplete; then `restore` fills it; when that is durable, the copies of the table
 * follow, and the first sector comes last. Interrupted at any point, the target is no disk that boots or mounts.
 *
 * @example
 * const plan = await planDiskRestore(imageSource(image, { label: id }), target.info, { label: id })
 * await restoreDisk(plan, target, (disk, part) => repository.restore(id, disk, part))
 *
 * @param restore fills the target it is given, which is not to be used afterwards.
 * @throws ERR_TARGET_UNSUPPORTED when the target is `sequential`, and what `restore` and the target throw.
 */
export async function restoreDisk<Result>(
  plan: DiskRestorePlan,
  target: BlockTarget,
  restore: (target: BlockTarget, part: RestoredPart) => Promise<Result>,
): Promise<Result> {
  if (target.sequential) {
    throw new PlatterError(
      'ERR_TARGET_UNSUPPORTED',
      `The target ${target.info.label} is written from front to back, so its table cannot be written last.`,
    )
  }
  const result = await restore(new MarkedTarget(plan, target), { range: plan.range, except: plan.except })
  for (const { offset, bytes } of plan.finally) {
    await target.write(offset, bytes)
    await target.flush()
  }
  return result
}

/** The target while it is filled. Closing it does nothing: it belongs to the caller. */
class MarkedTarget implements BlockTarget {
  readonly sequential = false
  readonly direct?: DirectWrite
  readonly read?: (offset: number, into: Uint8Array, options?: TargetCallOptions) => Promise<number>
  readonly #plan: DiskRestorePlan
  readonly #inner: BlockTarget

  constructor(plan: DiskRestorePlan, inner: BlockTarget) {
    this.#plan = plan
    this.#inner = inner
    if (inner.direct !== undefined) this.direct = inner.direct
    if (inner.read !== undefined) this.read = inner.read.bind(inner)
  }

  get info(): TargetInfo {
    return this.#inner.info
  }

  async prepare(_imageBytes: number, options?: { readonly keepContent?: boolean }): Promise<PreparedTarget> {
    const { clear, sizeBytes, mark } = this.#plan
    const prepared = await this.#inner.prepare(sizeBytes, options)
    const marked = markOf(mark).subarray(0, clear[0]?.length ?? 0)
    const resumable = prepared.resumable !== false && (await this.#holds(marked))
    for (const { offset, length } of clear) await this.#inner.zero(offset, length)
    await this.#inner.write(0, marked)
    await this.#inner.flush()
    return { blank: prepared.blank, resumable }
  }

  async write(offset: number, data: Uint8Array, options?: TargetCallOptions): Promise<void> {
    await this.#inner.write(offset, data, options)
  }

  async zero(offset: number, length: number, options?: TargetCallOptions): Promise<void> {
    await this.#inner.zero(offset, length, options)
  }

  async flush(): Promise<void> {
    await this.#inner.flush()
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  async #holds(marked: Uint8Array): Promise<boolean> {
    const present = new Uint8Array(marked.length)
    for (let done = 0; done < present.length; ) {
      const got = (await this.#inner.read?.(done, present.subarray(done))) ?? 0
      if (got === 0) return false
      done += got
    }
    return Buffer.compare(present, marked) === 0
  }
}

/** The first sector of a target that is being filled: no boot sector, no table, and a word to who looks at it. */
function markOf(mark: string): Uint8Array {
  const sector = new Uint8Array(MARK_BYTES)
  new TextEncoder().encodeInto(`Platter: a restore to this place has not been finished. ${mark}\n`, sector)
  return sector
}
