// Segments of data, and what is asked of their chunks.

import type { Chunker } from 'fast-cdc'
import * as fc from 'fast-check'
import { randomBytes } from './reference.ts'

/** All cuts of one segment. */
export function cutsOf(chunker: Chunker, pieces: Iterable<Uint8Array>): number[] {
  const cuts: number[] = []
  for (const piece of pieces) take(cuts, chunker, chunker.push(piece))
  take(cuts, chunker, chunker.finish())
  return cuts
}

export function take(cuts: number[], chunker: Chunker, count: number): void {
  for (let i = 0; i < count; i++) cuts.push(chunker.cuts[i]!)
}

export function assertPartition(chunker: Chunker, cuts: number[], totalBytes: number): void {
  const lengths = chunkLengths(cuts)
  const sum = lengths.reduce((a, b) => a + b, 0)
  const inBounds = lengths.every(
    (length, i) => length <= chunker.maxBytes && (length >= chunker.minBytes || i === lengths.length - 1),
  )
  if (sum !== totalBytes || !inBounds || lengths.includes(0)) throw new Error(`chunks of ${lengths} bytes`)
}

export function chunkLengths(cuts: number[]): number[] {
  return cuts.map((cut, i) => cut - (cuts[i - 1] ?? 0))
}

export function split(data: Uint8Array, places: number[], step: number): Uint8Array[] {
  const sorted = places.map((place) => Math.min(data.length, place - (place % step))).sort((a, b) => a - b)
  return [0, ...sorted].map((place, i) => data.subarray(place, sorted[i] ?? data.length))
}

/** Data with stretches of random, repeated and zero bytes. */
export function bytes(longest: number): fc.Arbitrary<Uint8Array> {
  const stretch = fc
    .tuple(fc.constantFrom('random', 'repeated', 'zero'), fc.integer(), fc.nat(longest))
    .map(([kind, seed, length]) => {
      if (kind === 'random') return randomBytes(seed, length)
      return new Uint8Array(length).fill(kind === 'zero' ? 0 : seed)
    })
  return fc
    .array(stretch, { maxLength: 4 })
    .map((stretches) => new Uint8Array(Buffer.concat(stretches)).subarray(0, longest))
}

export function symmetricDifference(a: number[], b: number[]): number[] {
  return [...a.filter((cut) => !b.includes(cut)), ...b.filter((cut) => !a.includes(cut))]
}

export function same(a: number[], b: number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
