// Random tables for property tests.
import fc from 'fast-check'
import { LINUX, type MadeGpt, type MadeMbr, type MadePartition, partUuid } from './made-tables.ts'

/** Ascending ranges without overlap in `first` to `last`, one for each pair of a gap and a length. */
function rangesOf(
  steps: readonly (readonly [number, number])[],
  first: number,
  last: number,
): { readonly first: number; readonly last: number }[] {
  const ranges: { first: number; last: number }[] = []
  let at = first
  for (const [gap, length] of steps) {
    const range = { first: at + gap, last: at + gap + length - 1 }
    if (range.last > last) break
    ranges.push(range)
    at = range.last + 1
  }
  return ranges
}

const step = fc.tuple(fc.nat({ max: 5000 }), fc.integer({ min: 1, max: 20_000 }))
const sectorBytes = fc.constantFrom(512, 4096)
// Names keep what UTF-16 can hold, and end at the first zero.
const name = fc.string({ unit: 'binary', maxLength: 18 }).map((text) => text.replaceAll('\0', ' '))

/** A sound GPT: any number of partitions in any slots. */
export const gpts: fc.Arbitrary<MadeGpt> = fc
  .record({
    sectorBytes,
    sectors: fc.integer({ min: 8000, max: 3_000_000 }),
    steps: fc.array(step, { maxLength: 30 }),
    numbers: fc.shuffledSubarray(
      Array.from({ length: 40 }, (_, i) => i + 1),
      { minLength: 30 },
    ),
    names: fc.array(name, { minLength: 30, maxLength: 30 }),
    attributes: fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { minLength: 30, maxLength: 30 }),
    entryCount: fc.constantFrom(40, 41, 128, 1000),
    entryBytes: fc.constantFrom(128, 128, 256),
    headerBytes: fc.constantFrom(92, 92, 512),
    entriesLba: fc.constantFrom(2, 2, 2, 9),
  })
  .map(({ sectors, steps, numbers, names, attributes, ...gpt }) => {
    const taken = Math.ceil((gpt.entryCount * gpt.entryBytes) / gpt.sectorBytes)
    const ranges = rangesOf(steps, gpt.entriesLba + taken, sectors - taken - 2)
    const partitions = ranges.map((range, i): MadePartition => {
      const number = numbers[i]!
      return {
        ...range,
        number,
        type: LINUX,
        guid: partUuid(number),
        name: names[i]!,
        attributes: attributes[i]!,
      }
    })
    return { ...gpt, sizeBytes: sectors * gpt.sectorBytes, partitions }
  })

/** A sound MBR: up to three primary partitions and a chain of logical ones. */
export const mbrs: fc.Arbitrary<MadeMbr & { readonly sectorBytes: number }> = fc
  .record({
    sectorBytes,
    primaries: fc.array(step, { maxLength: 3 }),
    logicals: fc.array(step, { maxLength: 10 }),
    free: fc.nat({ max: 100_000 }),
    types: fc.array(fc.constantFrom(1, 7, 0x0c, 0x82, 0x83, 0xef), { minLength: 14, maxLength: 14 }),
    extendedType: fc.constantFrom(5, 0x0f, 0x85),
    slot: fc.nat({ max: 3 }),
  })
  .map(({ sectorBytes, primaries, logicals, free, types, extendedType, slot }) => {
    const ranges = rangesOf(primaries, 1, 2 ** 31)
    const entries: MadeMbr['entries'][number][] = ranges.map(({ first, last }, i) => {
      return { type: types[i]!, start: first, sectors: last - first + 1, indicator: i === 0 ? 0x80 : 0 }
    })
    const base = (ranges.at(-1)?.last ?? 0) + 1
    const inner = rangesOf(
      logicals.map(([gap, length]) => [gap + 1, length]),
      base,
      2 ** 31,
    )
    const end = (inner.at(-1)?.last ?? base + 1) + 1
    entries.splice(Math.min(slot, entries.length), 0, {
      type: extendedType,
      start: base,
      sectors: end - base,
    })
    return {
      sectorBytes,
      sizeBytes: (end + free) * sectorBytes,
      entries,
      logicals: inner.map(({ first, last }, i) => ({
        type: types[4 + i]!,
        start: first,
        sectors: last - first + 1,
      })),
    }
  })
