import type { DiskDescription, LeftOut, PartitionDescription, VolumeDescription } from '@platter/core'
import type { CommandIo } from '../io.ts'
import { formatBytes } from './amounts.ts'
import { ASCII_MAP, diskMap, UNICODE_MAP } from './disk-map.ts'
import { printable } from './printable.ts'
import { columns } from './table.ts'

const DEFAULT_WIDTH = 80
const MAX_WIDTH = 128
const MIN_WIDTH = 20
/** Partitions and problems that are listed one by one; `--json` gives all. */
const LISTED = 64

/** What is on a disk, for people: a table of partitions, a picture of what is in use, and what is left out and why. */
export function diskText(
  disk: DiskDescription,
  sizeBytes: number,
  { stdout, env }: Pick<CommandIo, 'stdout' | 'env'>,
): string {
  const width = Math.min(MAX_WIDTH, Math.max(MIN_WIDTH, stdout.columns ?? DEFAULT_WIDTH))
  const characters = showsUnicode(env) ? UNICODE_MAP : ASCII_MAP
  const { full, partly, free, gap } = characters
  const isPicture = sizeBytes > 0 && disk.usage.length > 0
  return [
    tableLine(disk),
    columns(rowsOf(disk), [1, 2, 3]),
    ...(isPicture ? [diskMap(disk, sizeBytes, width - 2, characters)] : []),
    ...(isPicture ? [`${full} in use  ${partly} partly  ${free} free  ${gap} no partition`] : []),
    ...leftOutLine(disk),
    ...readWhole(disk).map(
      ({ partition, message }) =>
        `${partition === undefined ? 'all' : `partition ${partition}`} is read whole: ${printable(message)}`,
    ),
    ...disk.table.problems
      .filter(({ severity }) => severity !== 'error')
      .slice(0, LISTED)
      .map(({ message }) => `note: ${printable(message)}`),
  ].join('\n')
}

/** What was left out of a disk, by what it is. */
export function leftOutOf(disk: DiskDescription): LeftOut[] {
  const sums = new Map<string, number>()
  for (const { leftOut } of volumesOf(disk))
    for (const { use, bytes } of leftOut) sums.set(use, (sums.get(use) ?? 0) + bytes)
  return [...sums].map(([use, bytes]) => ({ use, bytes }))
}

/** `4.30 GiB free, 512 MiB swap`. */
export function leftOutText(leftOut: readonly LeftOut[]): string {
  return leftOut.map(({ use, bytes }) => `${formatBytes(bytes)} ${printable(use)}`).join(', ')
}

/** What is read whole, and why. `partition` is undefined for all of the disk. */
export function readWhole(
  disk: DiskDescription,
): { readonly partition?: number; readonly code: string; readonly message: string }[] {
  const error = disk.table.problems.find(({ severity }) => severity === 'error')
  if (error !== undefined) return [{ code: error.code, message: error.message }]
  const whole = disk.volume?.problem
  if (whole !== undefined) return [{ code: whole.code, message: whole.message }]
  return disk.partitions.flatMap(({ number, volume }) => {
    const problem = volume?.problem
    return problem === undefined ? [] : [{ partition: number, code: problem.code, message: problem.message }]
  })
}

function volumesOf(disk: DiskDescription): VolumeDescription[] {
  return [disk.volume, ...disk.partitions.map(({ volume }) => volume)].flatMap((volume) => volume ?? [])
}

function tableLine({ table, policy }: DiskDescription): string {
  const id = table.id === undefined ? '' : `, id ${printable(table.id)}`
  const read = policy === 'exact' ? ', all of it read' : ''
  return `partition table: ${printable(table.kind)}, sectors of ${table.sectorBytes} bytes${id}${read}`
}

function rowsOf(disk: DiskDescription): string[][] {
  const head = ['NR', 'AT', 'SIZE', 'USED', 'FILESYSTEM', 'LABEL', 'UUID', 'TYPE', 'NAME']
  const rows = disk.partitions.slice(0, LISTED).map(partitionRow)
  if (disk.volume !== undefined) rows.push(['-', '', '', ...volumeCells(disk.volume), '', ''])
  const unlisted = disk.partitions.length - LISTED
  return rows.length === 0 ? [] : [head, ...rows, ...(unlisted > 0 ? [[`and ${unlisted} more`]] : [])]
}

function partitionRow(partition: PartitionDescription): string[] {
  const { number, offset, length, volume, type, typeName, name = '' } = partition
  return [
    String(number),
    formatBytes(offset),
    formatBytes(length),
    ...volumeCells(volume),
    printable(typeName ?? type),
    printable(name),
  ]
}

function volumeCells(volume: VolumeDescription | undefined): string[] {
  const { filesystem, usedBytes } = volume ?? {}
  return [
    usedBytes === undefined ? '-' : formatBytes(usedBytes),
    printable(filesystem?.type ?? '-'),
    printable(filesystem?.label ?? ''),
    printable(filesystem?.uuid ?? ''),
  ]
}

function leftOutLine(disk: DiskDescription): string[] {
  const leftOut = leftOutOf(disk)
  return leftOut.length === 0 ? [] : [`left out of a backup: ${leftOutText(leftOut)}`]
}

/** Whether the terminal takes more than ASCII, by what decides about it for other programs. */
function showsUnicode(env: CommandIo['env']): boolean {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || ''
  return /utf-?8/i.test(locale) && env.TERM !== 'dumb'
}
