// Sections 16 and 17 of docs/format.md: sessions, fences, tombstones, and generations of garbage collection.
import assert from 'node:assert/strict'
import type { Records } from './encryption.ts'
import { messagePack } from './libraries.ts'
import { hex } from './primitives.ts'

/** What stands under `gc/` of one generation; ids of packs in hex. */
export interface Generation {
  readonly number: number
  readonly condemned: readonly string[]
  readonly unlisted: readonly string[]
  readonly sweep: Sweep | undefined
  readonly isDone: boolean
}

export interface Sweep {
  readonly session: string | null
  readonly packs: readonly string[]
  readonly segments: readonly string[]
}

export type Standing = 'open' | 'committed' | 'fenced'

const FENCE_BYTES = 256
const END = '999999'

/** Reads who may still commit, what is forgotten, and what a collector is about to remove. */
export class Collection {
  /** All of them, the newest last. */
  readonly generations: readonly Generation[]
  readonly #objects: ReadonlyMap<string, Uint8Array>
  readonly #records: Records
  readonly #forgotten: ReadonlySet<string>
  /** Sessions that are fenced, or a collector's of the generation given. */
  readonly #fences: ReadonlyMap<string, number | undefined>

  constructor(objects: ReadonlyMap<string, Uint8Array>, records: Records) {
    this.#objects = objects
    this.#records = records
    this.generations = this.#readGenerations()
    this.#forgotten = new Set(this.#below('forget/').map((name) => this.#tombstone(name)))
    const fences = this.#below('snapshots/').filter((name) => objects.get(name)!.length <= FENCE_BYTES)
    this.#fences = new Map(fences.map((name) => [lastOf(name), this.#fence(name)]))
    for (const name of this.#below('sessions/')) this.#session(name)
  }

  /** Ids of all snapshots that are committed and not forgotten. */
  get snapshots(): readonly string[] {
    return this.#below('snapshots/')
      .map(lastOf)
      .filter((id) => !this.#fences.has(id) && !this.#forgotten.has(id))
  }

  /** Packs that no writer may rely on. */
  get condemned(): readonly string[] {
    const newest = this.generations.at(-1)
    return newest === undefined || newest.isDone ? [] : newest.condemned
  }

  standing(session: string): Standing {
    if (!this.#objects.has(`snapshots/${session}`)) return 'open'
    if (!this.#fences.has(session)) return 'committed'
    const collectorOf = this.#fences.get(session)
    const generation = this.generations.find(({ number }) => number === collectorOf)
    return generation?.sweep?.session === session ? 'committed' : 'fenced'
  }

  /** A generation begins only when the one before is done, and nothing under `gc/` is ever removed. */
  #readGenerations(): Generation[] {
    const names = this.#below('gc/')
    const numbers = names
      .filter((name) => name.endsWith('.mark'))
      .map((name) => Number.parseInt(lastOf(name), 10))
    numbers.sort((a, b) => a - b)
    const generations = numbers.map((number) => this.#generation(number))
    for (const [i, { number, sweep, isDone }] of generations.entries()) {
      assert.equal(number, i + 1, 'generations count from 1')
      assert.ok(isDone || i === generations.length - 1, 'only the newest is unfinished')
      assert.ok(sweep !== undefined || !isDone, 'what is done was published')
    }
    const steps = generations.map(({ sweep, isDone }) => 1 + (sweep ? 1 : 0) + (isDone ? 1 : 0))
    assert.equal(
      names.length,
      steps.reduce((sum, count) => sum + count, 0),
      'nothing else is there',
    )
    return generations
  }

  #generation(number: number): Generation {
    const mark = this.#read(`gc/${number}.mark`, 8) as MarkFields
    assert.ok(mark.condemned.length <= 100_000 && mark.openSessions.length <= 10_000)
    assert.ok(Number.isSafeInteger(mark.time))
    for (const { session, intent } of mark.openSessions)
      assert.ok(/^[0-9a-f]{32}$/.test(session) && Number.isSafeInteger(intent))
    return {
      number,
      condemned: mark.condemned.map(packId),
      unlisted: mark.unlisted.map(packId),
      sweep: this.#sweep(number, new Set(mark.condemned.map(packId))),
      isDone: this.#done(number),
    }
  }

  #sweep(number: number, condemned: ReadonlySet<string>): Sweep | undefined {
    const name = `gc/${number}.sweep`
    if (!this.#objects.has(name)) return undefined
    const { session, unreferenced, repacked, unlisted, segments } = this.#read(name, 9) as SweepFields
    const packs = [...unreferenced, ...repacked, ...unlisted].map(packId)
    for (const pack of packs) assert.ok(condemned.has(pack), 'what goes was condemned')
    for (const segment of segments) assert.match(segment, /^index\/[0-9a-f]{32}\/[0-9]{6}$/)
    assert.ok(segments.length <= 50_000)
    if (session !== null) {
      assert.ok(this.#objects.has(`snapshots/${session}`), 'the session of a collector is fenced first')
      assert.equal(this.#fence(`snapshots/${session}`), number)
    }
    return { session, packs, segments }
  }

  #done(number: number): boolean {
    const name = `gc/${number}.done`
    if (!this.#objects.has(name)) return false
    const { packs, segments } = this.#read(name, 10) as Readonly<Record<string, number>>
    assert.ok(Number.isSafeInteger(packs) && Number.isSafeInteger(segments))
    return true
  }

  /** The generation of the collector whose session it ends, if it is a collector's. */
  #fence(name: string): number | undefined {
    const { collectorOf } = this.#read(name, 5) as { readonly collectorOf?: number }
    assert.ok(collectorOf === undefined || collectorOf >= 1)
    return collectorOf
  }

  #tombstone(name: string): string {
    assert.deepEqual(this.#read(name, 6), { version: 1 })
    return lastOf(name)
  }

  #session(name: string): void {
    const record = this.#read(name, 2) as {
      readonly generation: number
      readonly time?: number
      readonly ended?: boolean
    }
    assert.ok(record.time === undefined || Number.isSafeInteger(record.time))
    assert.equal(record.ended, name.endsWith(`/${END}`) ? true : undefined)
    const newest = this.generations.length
    assert.ok(Number.isSafeInteger(record.generation) && record.generation <= newest, 'a mark that exists')
  }

  #read(name: string, type: number): object {
    const record = messagePack.unpack(this.#records.open(name, type, this.#objects.get(name)!)) as {
      readonly version: number
    }
    assert.equal(record.version, 1)
    return record
  }

  #below(prefix: string): string[] {
    return [...this.#objects.keys()].filter((name) => name.startsWith(prefix)).sort()
  }
}

interface MarkFields {
  readonly condemned: readonly Uint8Array[]
  readonly unlisted: readonly Uint8Array[]
  readonly openSessions: readonly { readonly session: string; readonly intent: number }[]
  readonly time: number
}

interface SweepFields {
  readonly session: string | null
  readonly unreferenced: readonly Uint8Array[]
  readonly repacked: readonly Uint8Array[]
  readonly unlisted: readonly Uint8Array[]
  readonly segments: readonly string[]
}

function packId(bytes: Uint8Array): string {
  assert.equal(bytes.length, 32)
  return hex(bytes)
}

function lastOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1)
}
