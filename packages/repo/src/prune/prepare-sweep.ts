import {
  newSessionId,
  type PackId,
  PlatterError,
  type RandomSource,
  type SessionId,
  type Store,
} from '@platter/core'
import { BLOB_TYPE } from '../format/blob-entry.ts'
import type { RemovalReason, SweepRecord } from '../format/gc-records.ts'
import type { IndexedPack } from '../format/index-segment.ts'
import { MAX_REPLACED_SEGMENTS } from '../format/limits.ts'
import { readIndexSegments } from '../index/load-index.ts'
import { missingBlob } from '../pack/blob-reader.ts'
import { PackUploader } from '../pack/pack-uploader.ts'
import { SmallPacks } from '../pack/small-packs.ts'
import { isWorthMoving } from './select-packs.ts'
import type { Survey, SurveyContext, SurveyedSegment } from './survey.ts'
import { chooseKeepers, type Usage } from './usage.ts'
import { fence } from './writers.ts'

/** Blobs read ahead while they are moved. */
const CONCURRENCY = 8
/** Packs that a replacing segment lists. */
const PACKS_PER_REPLACEMENT = 1024
/** So many small segments are worth being merged. */
const MIN_SMALL_SEGMENTS = 32
const SMALL_SEGMENT_PACKS = 16

export interface SweepInput {
  readonly context: SurveyContext<Store> & { readonly random: RandomSource }
  readonly survey: Survey
  readonly generation: number
  readonly condemned: ReadonlySet<PackId>
  /** Bytes that may be stored again. */
  readonly maxRepackBytes: number
  /** Bytes of index segments that may be replaced by others, when space is short. */
  readonly maxReplacedBytes: number
  readonly signal: AbortSignal
  readonly onRepacked: (bytesRepacked: number, packsDone: number, packsTotal: number) => void
}

export interface PreparedSweep {
  readonly record: SweepRecord
  readonly bytesRepacked: number
}

/**
 * Decides which condemned packs really go, and stores what must take their place: needed blobs of theirs in new
 * packs, and index segments for what stays of the segments that list them. All of it belongs to a session that is
 * born fenced, so that it counts for nothing until the sweep that names it is published.
 *
 * @throws ERR_CHUNK_MISSING, and what the store throws.
 */
export async function prepareSweep(input: SweepInput): Promise<PreparedSweep> {
  return await new SweepPreparation(input).run()
}

class SweepPreparation {
  readonly #input: SweepInput
  readonly #usage: Usage
  /** 1 for each pack of the table that goes. */
  readonly #goes: Uint8Array
  /** 1 for those of them that are needed in part. */
  readonly #moves: Uint8Array
  #bytesRepacked = 0

  constructor(input: SweepInput) {
    this.#input = input
    const { survey, condemned } = input
    const { packs } = survey.table
    this.#goes = Uint8Array.from(packs, ({ id, present, quarantined }) =>
      Number(present && !quarantined && condemned.has(id)),
    )
    this.#moves = new Uint8Array(packs.length)
    this.#usage = chooseKeepers(survey, this.#goes, (entry) => lost(survey, entry))
  }

  async run(): Promise<PreparedSweep> {
    this.#rescue()
    let replaced = this.#replacedSegments()
    const stays = this.#packsToList(replaced)
    const { context, generation, signal } = this.#input
    let session: SessionId | undefined
    if (this.#moves.includes(1) || stays.size > 0) {
      session = newSessionId(context.random)
      await fence(context, session, { collectorOf: generation }, signal)
      const uploader = new PackUploader(context, context.keys.pack, session, signal, PACKS_PER_REPLACEMENT)
      await this.#move(uploader)
      // What could not be moved stays, so its segments need another look.
      replaced = this.#replacedSegments()
      await this.#listAgain(replaced, this.#packsToList(replaced), uploader)
      await uploader.finish()
    }
    return { record: this.#record(session, replaced), bytesRepacked: this.#bytesRepacked }
  }

  /** Takes off the list what is needed and is not to be, or cannot be, moved. */
  #rescue(): void {
    const { context, survey, maxRepackBytes } = this.#input
    const { packs } = survey.table
    const needed = this.#numbers(this.#goes).filter((i) => this.#usage.usedEntries[i]! > 0)
    needed.sort((a, b) => this.#usage.usedBytes[a]! - this.#usage.usedBytes[b]!)
    let bytes = 0
    for (const i of needed) {
      const used = this.#usage.usedBytes[i]!
      const worth = isWorthMoving(packs[i]!.fileBytes, used, context.config.packBytes)
      if (worth && bytes + used <= maxRepackBytes) {
        bytes += used
        this.#moves[i] = 1
      } else {
        this.#goes[i] = 0
      }
    }
    // What an open session lists is not this collector's.
    packs.forEach(({ standing }, i) => {
      if (standing === 'open') this.#keep(i)
    })
    this.#limitReplacements()
  }

  /** Keeps packs whose index segments cannot be replaced within the space there is. */
  #limitReplacements(): void {
    const { survey, maxReplacedBytes } = this.#input
    let bytes = 0
    for (const segment of survey.segments) {
      const going = segment.packs.filter((i) => this.#goes[i] === 1)
      if (going.length === 0 || going.length === segment.packs.length) continue
      if (bytes + segment.stat.sizeBytes > maxReplacedBytes) for (const i of going) this.#keep(i)
      else bytes += segment.stat.sizeBytes
    }
  }

  #keep(pack: number): void {
    this.#goes[pack] = 0
    this.#moves[pack] = 0
  }

  /** Segments that list what goes or is gone, those of fenced sessions, and small ones when there are many. */
  #replacedSegments(): SurveyedSegment[] {
    const { survey, maxReplacedBytes } = this.#input
    const { packs } = survey.table
    const settled = survey.segments.filter(({ standing }) => standing !== 'open')
    const must = settled.filter((segment) => segment.packs.some((i) => this.#goes[i] === 1))
    if (maxReplacedBytes < Number.POSITIVE_INFINITY) return must
    const small = settled.filter((segment) => segment.packs.length < SMALL_SEGMENT_PACKS)
    const merged = new Set(small.length >= MIN_SMALL_SEGMENTS ? small : [])
    for (const segment of settled) {
      const { standing } = segment
      if (standing === 'fenced' || segment.packs.some((i) => !packs[i]!.present)) merged.add(segment)
    }
    for (const segment of must) merged.delete(segment)
    return [...must, ...merged].slice(0, Math.max(must.length, MAX_REPLACED_SEGMENTS))
  }

  /** Packs of segments that go which stay themselves and which no other segment lists for good. */
  #packsToList(replaced: readonly SurveyedSegment[]): Set<number> {
    const { survey } = this.#input
    const { packs } = survey.table
    const gone = new Set(replaced)
    const listed = new Set<number>()
    for (const segment of survey.segments) {
      if (segment.standing === 'committed' && !gone.has(segment)) for (const i of segment.packs) listed.add(i)
    }
    const stays = new Set<number>()
    for (const segment of replaced) {
      for (const i of segment.packs) {
        if (packs[i]!.present && this.#goes[i] === 0 && !listed.has(i)) stays.add(i)
      }
    }
    return stays
  }

  /** Stores what is needed of packs that go in new ones. A pack of which a blob cannot be read stays. */
  async #move(uploader: PackUploader): Promise<void> {
    const { context, survey, signal, onRepacked } = this.#input
    const { index, table, reader } = survey
    const { config, keys, random } = context
    const chunks = new SmallPacks(uploader, keys.pack, config.packBytes, random)
    const nodes = new SmallPacks(uploader, keys.pack, config.packBytes, random)
    const byPack = new Map<number, number[]>(this.#numbers(this.#moves).map((i) => [i, []]))
    for (let entry = 0; entry < index.size; entry++) {
      if (this.#usage.keepers[entry] === 1) byPack.get(table.numberOf[index.packOf(entry)]!)?.push(entry)
    }
    let done = 0
    for (const [pack, entries] of byPack) {
      entries.sort((a, b) => index.location(a).offset - index.location(b).offset)
      try {
        for (let at = 0; at < entries.length; at += CONCURRENCY) {
          const part = entries.slice(at, at + CONCURRENCY)
          const blobs = await Promise.all(
            part.map((entry) => reader.readStored(index.id(entry), index.location(entry).type, signal)),
          )
          blobs.forEach(({ stored, codec, plain }, i) => {
            const { type } = index.location(part[i]!)
            const into = type === BLOB_TYPE.node ? nodes : chunks
            into.append(new Uint8Array(index.id(part[i]!)), type, codec, stored, plain.length)
            this.#bytesRepacked += stored.length
          })
          // No more in memory than one pack of each kind and what is on its way.
          await uploader.room()
        }
      } catch (error) {
        signal.throwIfAborted()
        if (!PlatterError.is(error, 'ERR_CORRUPT_BLOB') && !PlatterError.is(error, 'ERR_CORRUPT_PACK'))
          throw error
        this.#keep(pack)
      }
      onRepacked(this.#bytesRepacked, ++done, byPack.size)
    }
    chunks.flush()
    nodes.flush()
  }

  async #listAgain(
    replaced: readonly SurveyedSegment[],
    stays: Set<number>,
    uploader: PackUploader,
  ): Promise<void> {
    const { context, signal } = this.#input
    const stats = replaced.map(({ stat }) => stat)
    let segmentAt = 0
    for await (const segment of readIndexSegments(context, stats, signal)) {
      const numbers = replaced[segmentAt++]!.packs
      const entries = new Map<number, IndexedPack['entries'][number][]>()
      numbers.forEach((number, i) => {
        // Each pack once, from the first segment that lists it.
        if (stays.delete(number)) entries.set(i, [])
      })
      if (entries.size === 0) continue
      for (let i = 0; i < segment.entryCount; i++) {
        const { pack, ...entry } = segment.entry(i)
        entries.get(pack)?.push(entry)
      }
      for (const [i, listed] of entries) {
        const { entryCount: _, ...pack } = segment.packs[i]!
        uploader.list({ ...pack, entries: listed })
      }
    }
  }

  #record(session: SessionId | undefined, replaced: readonly SurveyedSegment[]): SweepRecord {
    const { packs } = this.#input.survey.table
    const gone: Record<RemovalReason, PackId[]> = { unreferenced: [], repacked: [], unlisted: [] }
    for (const i of this.#numbers(this.#goes)) {
      const { id, standing } = packs[i]!
      const reason = this.#moves[i] === 1 ? 'repacked' : standing === undefined ? 'unlisted' : 'unreferenced'
      gone[reason].push(id)
    }
    return { session, packs: gone, segments: replaced.map(({ stat }) => stat.name) }
  }

  #numbers(flags: Uint8Array): number[] {
    const numbers: number[] = []
    flags.forEach((flag, i) => {
      if (flag === 1) numbers.push(i)
    })
    return numbers
  }
}

/** A needed blob of which no copy is there. */
export function lost({ index }: Survey, entry: number): PlatterError {
  const { message, details } = missingBlob(index.id(entry), index.location(entry).type)
  return new PlatterError(
    'ERR_CHUNK_MISSING',
    `Nothing was removed, because something that a snapshot needs is in no pack that is there. Run a check. ${message}`,
    details,
  )
}
