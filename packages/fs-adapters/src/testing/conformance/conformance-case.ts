import assert from 'node:assert/strict'
import { type ErrorCode, PlatterError, type Store, type StoreStat } from '@platter/core'

/** One guarantee of a store as a test for any runner. */
export interface ConformanceCase {
  readonly name: string
  /** Rejects with an `AssertionError` when the store does not keep the guarantee. */
  run(): Promise<void>
}

/** A guarantee, checked on an empty store. */
export interface StoreCase {
  readonly name: string
  check(store: Store, sizes: ConformanceSizes): Promise<void>
}

/** How much the suite does. */
export interface ConformanceSizes {
  readonly largeObjectBytes: number
  readonly racers: number
  readonly racedNames: number
  readonly manyObjects: number
}

/** Bytes that differ from place to place, so that a shift shows. */
export function pattern(lengthBytes: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthBytes)
  let state = (seed * 2654435761) >>> 0 || 1
  for (let i = 0; i < lengthBytes; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state
  }
  return bytes
}

/** Compares bytes; `assert.deepEqual` takes seconds for megabytes. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: length`)
  assert.ok(Buffer.compare(actual, expected) === 0, `${what}: content`)
}

/** Asserts that `promise` rejects with a `PlatterError` of one of `codes`. */
export async function assertRejects(
  promise: Promise<unknown>,
  codes: readonly ErrorCode[],
  what: string,
): Promise<void> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error ?? new Error('undefined'),
  )
  assert.ok(outcome !== undefined, `${what}: expected ${codes.join(' or ')}, but it succeeded`)
  assert.ok(
    codes.some((code) => PlatterError.is(outcome, code)),
    `${what}: expected ${codes.join(' or ')}, got ${String(outcome)}`,
  )
}

/** All of a listing. */
export async function listAll(store: Store, prefix: string, signal?: AbortSignal): Promise<StoreStat[]> {
  const found: StoreStat[] = []
  for await (const stat of store.list(prefix, signal === undefined ? {} : { signal })) found.push(stat)
  return found
}

/** Names of a listing, sorted. */
export async function listNames(store: Store, prefix: string): Promise<string[]> {
  return (await listAll(store, prefix)).map((stat) => stat.name).sort()
}
