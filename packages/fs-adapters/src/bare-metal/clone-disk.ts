import { type BlockSource, type BlockTarget, createHasher, type Extent, PlatterError } from '@platter/core'
import type { DiskRestoreOptions, DiskRestorePlan } from './disk-restore-plan.ts'
import { planDiskRestore } from './plan-disk-restore.ts'
import { overlapOf, without } from './ranges.ts'
import { readFully } from './read-fully.ts'
import { restoreDisk } from './restore-disk.ts'

/** A disk is copied and compared in windows of this size; a hash of each is kept, 2 MiB for each TiB. */
const WINDOW_BYTES = 16 * 1024 * 1024

/** Options of {@link cloneDisk}. */
export interface CloneOptions extends DiskRestoreOptions {
  /** Read the target back when it is written, and compare it by hash. Default true. */
  readonly verify?: boolean
  readonly onProgress?: (progress: CloneProgress) => void
}

/** How far a clone has come. */
export interface CloneProgress {
  readonly phase: 'copying' | 'verifying'
  readonly bytesDone: number
  readonly bytesTotal: number
}

/** What a clone did, in bytes. */
export interface CloneStats {
  readonly bytesTotal: number
  readonly bytesWritten: number
  readonly bytesZeroed: number
  /** Of those made zero, what no filesystem uses. */
  readonly bytesUnused: number
  /** Read back and found to be what was written; 0 without `verify`. */
  readonly bytesVerified: number
  readonly plan: DiskRestorePlan
}

/**
 * Copies a disk to another without a repository: what of `source` is not `unused`, planned as {@link planDiskRestore} does
 * and in the order of {@link restoreDisk}. What is unused reads as zeros on the target. Before the table is written, the
 * target is read back and compared by hash. A source opened with `openDisk` knows what its filesystems use.
 *
 * @throws ERR_DIGEST_MISMATCH with the offset of a window that reads otherwise; then no table was written.
 * @throws ERR_SOURCE_UNSUPPORTED for a stream, ERR_TARGET_UNSUPPORTED for a target that cannot be read back,
 * ERR_SOURCE_CHANGED, and what `planDiskRestore`, source and target throw.
 */
export async function cloneDisk(
  source: BlockSource,
  target: BlockTarget,
  options: CloneOptions = {},
): Promise<CloneStats> {
  const { verify = true } = options
  if (verify && target.read === undefined) {
    throw new PlatterError(
      'ERR_TARGET_UNSUPPORTED',
      `The target ${target.info.label} cannot be read back, so the clone cannot be verified.`,
    )
  }
  const label = options.label ?? `clone of ${source.info.label}`
  const plan = await planDiskRestore(source, target.info, { ...options, label })
  return await restoreDisk(plan, target, (disk) => new Clone(source, disk, target, plan, options).run(verify))
}

class Clone {
  readonly #source: BlockSource
  readonly #target: BlockTarget
  readonly #whole: BlockTarget
  readonly #plan: DiskRestorePlan
  readonly #options: CloneOptions
  readonly #hasher = createHasher()
  readonly #hashes: Uint8Array
  readonly #stats = { bytesWritten: 0, bytesZeroed: 0, bytesUnused: 0 }

  constructor(
    source: BlockSource,
    target: BlockTarget,
    whole: BlockTarget,
    plan: DiskRestorePlan,
    options: CloneOptions,
  ) {
    this.#source = source
    this.#target = target
    this.#whole = whole
    this.#plan = plan
    this.#options = options
    this.#hashes = new Uint8Array(Math.ceil(plan.range.length / WINDOW_BYTES) * 32)
  }

  async run(verify: boolean): Promise<CloneStats> {
    const bytesTotal = this.#plan.range.length
    const { blank } = await this.#target.prepare(bytesTotal)
    await this.#copy(blank)
    await this.#target.flush()
    await this.#source.assertUnchanged()
    const bytesVerified = verify ? await this.#verify() : 0
    return { bytesTotal, ...this.#stats, bytesVerified, plan: this.#plan }
  }

  async #copy(blank: boolean): Promise<void> {
    const { signal } = this.#options
    const { range } = this.#plan
    const memory = new Uint8Array(WINDOW_BYTES)
    let window = 0
    let pending: Extent[] = []
    const end = (): number => Math.min((window + 1) * WINDOW_BYTES, range.length)
    for await (const extent of this.#source.extents(signal ? { signal } : {})) {
      let rest = overlapOf(extent, range)
      while (rest !== undefined) {
        const windowEnd = range.offset + end()
        const piece = Math.min(rest.length, windowEnd - rest.offset)
        pending.push({ offset: rest.offset, length: piece, kind: extent.kind })
        rest =
          piece === rest.length ? undefined : { offset: rest.offset + piece, length: rest.length - piece }
        if (pending.at(-1)!.offset + piece < windowEnd) continue
        await this.#window(window++, pending, memory, blank)
        pending = []
      }
    }
    if (window * WINDOW_BYTES < range.length)
      throw new PlatterError(
        'ERR_SOURCE_READ',
        `The extents of '${this.#source.info.label}' do not cover it.`,
      )
  }

  /** Copies a window, and keeps the hash of what it then has to be. */
  async #window(
    window: number,
    extents: readonly Extent[],
    memory: Uint8Array,
    blank: boolean,
  ): Promise<void> {
    const { range, except } = this.#plan
    const { signal } = this.#options
    const start = range.offset + window * WINDOW_BYTES
    const length = Math.min(WINDOW_BYTES, range.length - window * WINDOW_BYTES)
    memory.fill(0)
    for (const extent of extents) {
      for (const part of without(extent, except)) {
        const at = part.offset - range.offset
        if (extent.kind !== 'data') {
          if (!blank) await this.#target.zero(at, part.length)
          this.#stats.bytesZeroed += part.length
          if (extent.kind === 'unused') this.#stats.bytesUnused += part.length
          continue
        }
        const bytes = memory.subarray(part.offset - start, part.offset - start + part.length)
        await readFully(this.#source, part.offset, bytes, signal)
        await this.#target.write(at, bytes)
        this.#stats.bytesWritten += part.length
      }
    }
    this.#hashes.set(this.#hasher.hash(memory.subarray(0, length)), window * 32)
    this.#progress('copying', window * WINDOW_BYTES + length)
  }

  async #verify(): Promise<number> {
    const { range, except } = this.#plan
    await this.#whole.dropCache?.()
    const memory = new Uint8Array(WINDOW_BYTES)
    let verified = 0
    for (let at = 0; at < range.length; at += WINDOW_BYTES) {
      const length = Math.min(WINDOW_BYTES, range.length - at)
      memory.fill(0)
      for (const part of without({ offset: range.offset + at, length }, except)) {
        const from = part.offset - range.offset
        await this.#readBack(from, memory.subarray(from - at, from - at + part.length))
        verified += part.length
      }
      const expected = this.#hashes.subarray((at / WINDOW_BYTES) * 32, (at / WINDOW_BYTES + 1) * 32)
      if (Buffer.compare(this.#hasher.hash(memory.subarray(0, length)), expected) !== 0)
        throw this.#mismatch(at, length)
      this.#progress('verifying', at + length)
    }
    return verified
  }

  async #readBack(offset: number, into: Uint8Array): Promise<void> {
    const { signal } = this.#options
    for (let done = 0; done < into.length; ) {
      const got = await this.#target.read!(offset + done, into.subarray(done), signal ? { signal } : {})
      if (got === 0) throw this.#mismatch(offset + done, into.length - done)
      done += got
    }
  }

  #progress(phase: CloneProgress['phase'], bytesDone: number): void {
    this.#options.signal?.throwIfAborted()
    this.#options.onProgress?.({ phase, bytesDone, bytesTotal: this.#plan.range.length })
  }

  #mismatch(offset: number, length: number): PlatterError {
    const { label } = this.#target.info
    return new PlatterError(
      'ERR_DIGEST_MISMATCH',
      `What was written to '${label}' reads otherwise, within the ${length} bytes at ${offset}. Do not use it.`,
      { path: label, offset, length },
    )
  }
}
