import {
  type BlockSource,
  type CodecName,
  decompress,
  PlatterError,
  type RandomSource,
  type RecordSealer,
  type SessionId,
  type WritableStore,
} from '@platter/core'
import { BackupRun } from '../backup/backup-run.ts'
import type { RepositoryConfig } from '../config/repository-config.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE, type BlobEntry } from '../format/blob-entry.ts'
import { Claims, claimReserve } from '../index/load-claims.ts'
import type { BlobStock } from './blob-stock.ts'
import type { Losses } from './losses.ts'

export interface HealInput {
  readonly store: WritableStore
  readonly records: RecordSealer
  readonly config: RepositoryConfig
  readonly keys: RepositoryKeys
  readonly codec: CodecName
  readonly random: RandomSource
  readonly now: () => Date
  readonly stock: BlobStock
  readonly session: SessionId
  readonly workers: number
  readonly signal: AbortSignal
  /** Walks the snapshots again. */
  readonly findLosses: () => Promise<Losses>
  readonly onProgress: (done: number, total: number | undefined) => void
}

/**
 * Looks for what is lost in a source: first in the ranges where snapshots have it, then by cutting the whole source
 * as a backup would, which finds what has moved, and the tree's nodes.
 *
 * @returns what is still lost.
 */
export async function healFromSource(input: HealInput, source: BlockSource, losses: Losses): Promise<Losses> {
  const { stock, findLosses } = input
  let left = losses
  const looked = new Set<string>()
  for (;;) {
    const healed = stock.blobsHealed
    await fromRanges(input, source, left)
    if (stock.blobsHealed > healed) left = await findLosses()
    if (left.ranges.size === 0) return left
    const lost = [...left.chunks.keys(), ...left.nodes.keys()]
    // Another pass over the source finds more only when more is known to be lost than in the last one.
    if (lost.every((hex) => looked.has(hex))) return left
    for (const hex of lost) looked.add(hex)
    await fromCuts(input, source, left)
    left = await findLosses()
  }
}

async function fromRanges(
  { stock, signal, onProgress }: HealInput,
  source: BlockSource,
  losses: Losses,
): Promise<void> {
  let done = 0
  for (const { id, length, offsets } of losses.chunks.values()) {
    const into = new Uint8Array(length)
    for (const offset of offsets) {
      signal.throwIfAborted()
      const isRead = await readRange(source, offset, into, signal)
      if (isRead && (await stock.heal(id, BLOB_TYPE.chunk, into))) break
    }
    onProgress(++done, losses.chunks.size)
  }
}

async function readRange(
  source: BlockSource,
  offset: number,
  into: Uint8Array,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    for (let done = 0; done < into.length; ) {
      const got = await source.read(offset + done, into.subarray(done), { signal })
      if (got === 0) return false
      done += got
    }
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (PlatterError.is(error, 'ERR_SOURCE_READ')) return false
    throw error
  }
}

/** Cuts the whole source as a backup would, and keeps of what is new only what is lost. */
async function fromCuts(input: HealInput, source: BlockSource, losses: Losses): Promise<void> {
  const { stock, config, workers, session, signal, onProgress } = input
  const claims = new Claims(stock.index.size, claimReserve(workers, config.chunker, config.regionBytes))
  for (const id of stock.ids()) {
    claims.grow()
    claims.table.claim(id)
  }
  const found: Promise<unknown>[] = []
  const take = (entry: BlobEntry, stored: Uint8Array): void => {
    if (entry.type === BLOB_TYPE.node) {
      stock.keepSpare(entry.id, decompress(entry.codec, stored, entry.rawBytes))
      return
    }
    if (!losses.chunks.has(Buffer.from(entry.id).toString('hex'))) return
    // A copy: the memory of the pack is used again.
    const plain = decompress(entry.codec, stored, entry.rawBytes).slice()
    const healed = stock.heal(entry.id.slice(), BLOB_TYPE.chunk, plain)
    // Its rejection is thrown at the end; until then it must not count as unhandled.
    healed.catch(() => undefined)
    found.push(healed)
  }
  const options = {
    onReadError: 'record',
    onProgress: ({ bytesDone }: { readonly bytesDone: number }) =>
      onProgress(bytesDone, source.info.sizeBytes),
  } as const
  const context = { ...input, verifyOneIn: 1 }
  const run = new BackupRun({
    context,
    source,
    options,
    session,
    claims,
    workers,
    signal,
    started: performance.now(),
    take,
  })
  try {
    await run.encodeImage()
  } catch (error) {
    signal.throwIfAborted()
    // A source that fails on the way has given what it could.
    if (!(error instanceof PlatterError && SOURCE_FAILURES.has(error.code))) throw error
  }
  await Promise.all(found)
}

const SOURCE_FAILURES: ReadonlySet<string> = new Set([
  'ERR_SOURCE_READ',
  'ERR_SOURCE_CHANGED',
  'ERR_LIMIT_EXCEEDED',
])
