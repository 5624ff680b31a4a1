import {
  type ByteRange,
  endOf,
  type Partition,
  problem,
  type TableArea,
  type TableProblem,
} from './partition-table.ts'

/** More problems of a layout than this say nothing more. */
const MAX_PROBLEMS = 32

/** Partitions that overlap each other, a structure of the table, or the end of the disk, or leave their container. */
export function layoutProblems(
  partitions: readonly Partition[],
  own: readonly TableArea[],
  sizeBytes: number,
): TableProblem[] {
  const problems = partitions
    .filter((partition) => endOf(partition) > sizeBytes)
    .map(({ number }) =>
      problem('error', 'beyond-end', `Partition ${number} reaches beyond the end of the disk.`),
    )
  const name = ({ number }: Partition): string => `partition ${number}`
  const primaries = partitions.filter(({ kind }) => kind !== 'logical')
  const leaves = partitions.filter(({ kind }) => kind !== 'extended')
  const outer = own.filter(({ kind }) => kind !== 'ebr')
  problems.push(
    ...overlaps([
      ...primaries.map((p) => ({ ...p, what: name(p) })),
      ...outer.map((s) => ({ ...s, what: s.kind })),
    ]),
    ...overlaps([
      ...leaves.map((p) => ({ ...p, what: name(p) })),
      ...own.map((s) => ({ ...s, what: s.kind })),
    ]),
    ...strays(partitions),
  )
  const unique = new Map(problems.map((each) => [each.message, each]))
  return [...unique.values()].slice(0, MAX_PROBLEMS)
}

/** Each range that begins before an earlier one has ended. */
function overlaps(ranges: readonly (ByteRange & { readonly what: string })[]): TableProblem[] {
  const sorted = [...ranges].sort((a, b) => a.offset - b.offset || a.length - b.length)
  const problems: TableProblem[] = []
  let furthest = sorted[0]
  for (const range of sorted.slice(1)) {
    if (furthest !== undefined && range.offset < endOf(furthest)) {
      problems.push(problem('error', 'overlap', `The ranges of ${furthest.what} and ${range.what} overlap.`))
    }
    if (furthest === undefined || endOf(range) > endOf(furthest)) furthest = range
  }
  return problems
}

function strays(partitions: readonly Partition[]): TableProblem[] {
  const containers = partitions.filter(({ kind }) => kind === 'extended')
  return partitions
    .filter(({ kind }) => kind === 'logical')
    .filter((one) => !containers.some((box) => box.offset <= one.offset && endOf(one) <= endOf(box)))
    .map(({ number }) =>
      problem('error', 'overlap', `Logical partition ${number} leaves the extended partition.`),
    )
}
