// Partitioning tools of Linux, and what they say of a disk in the terms of ours.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSource } from '@platter/fs-adapters'
import {
  type DiskWrite,
  type Partition,
  type PartitionTable,
  type ReadPartitionTableOptions,
  readPartitionTable,
} from '@platter/fs-adapters/partitions'

const env = { ...process.env, LC_ALL: 'C.UTF-8', PATH: `${process.env.PATH}:/usr/sbin:/sbin` }

export function has(...tools: readonly string[]): boolean {
  return tools.every((tool) => spawnSync(tool, ['--version'], { env }).error === undefined)
}

/** Says what to install where a tool is missing; for the option `skip` of a test. */
export function without(...tools: readonly string[]): string | false {
  return !has(...tools) && `${tools.join(', ')} not installed`
}

/** What a tool prints. Throws when it fails. */
export function run(tool: string, args: readonly string[], input = ''): string {
  return execFileSync(tool, args, { env, input, stdio: ['pipe', 'pipe', 'pipe'] }).toString()
}

/** A folder that goes when the test is over. */
export function folderFor(t: { teardown(done: () => void): unknown }): string {
  const folder = mkdtempSync(join(tmpdir(), 'partitions-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

export function emptyImage(folder: string, name: string, sizeBytes: number): string {
  const path = join(folder, name)
  writeFileSync(path, '')
  truncateSync(path, sizeBytes)
  return path
}

export function sfdisk(path: string, script: string): void {
  run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path], script)
}

export async function tableOf(path: string, options?: ReadPartitionTableOptions): Promise<PartitionTable> {
  await using source = await openSource(path)
  return await readPartitionTable(source, options)
}

export async function apply(path: string, writes: readonly DiskWrite[]): Promise<void> {
  await using file = await open(path, 'r+')
  for (const { offset, bytes } of writes) await file.write(bytes, 0, bytes.length, offset)
}

/** A table as both a tool and Platter can tell it. */
export interface ToldTable {
  readonly label: string
  readonly id: string
  readonly firstLba?: number
  readonly lastLba?: number
  readonly partitions: readonly {
    readonly number: number
    readonly start: number
    readonly size: number
    readonly type: string
    readonly uuid: string
    readonly name: string
    readonly bits: readonly number[]
    readonly bootable: boolean
  }[]
}

interface SfdiskTable {
  readonly label: string
  readonly id: string
  readonly firstlba?: number
  readonly lastlba?: number
  readonly partitions?: readonly {
    readonly node: string
    readonly start: number
    readonly size: number
    readonly type: string
    readonly uuid?: string
    readonly name?: string
    readonly attrs?: string
    readonly bootable?: boolean
  }[]
}

/** What `sfdisk --json` says. */
export function toldBySfdisk(path: string): ToldTable {
  const json = JSON.parse(run('sfdisk', ['--json', path])) as { readonly partitiontable: SfdiskTable }
  const { label, id, firstlba, lastlba, partitions = [] } = json.partitiontable
  const isGpt = label === 'gpt'
  return {
    label,
    id: isGpt ? id.toLowerCase() : id.replace('0x', ''),
    ...(isGpt && { firstLba: firstlba!, lastLba: lastlba! }),
    partitions: partitions.map(({ node, start, size, type, uuid = '', name = '', attrs = '', bootable }) => ({
      number: numberOf(node),
      start,
      size,
      type: isGpt ? type.toLowerCase() : type.padStart(2, '0'),
      uuid: uuid.toLowerCase(),
      name,
      bits: bitsOf(attrs),
      bootable: bootable ?? bitsOf(attrs).includes(2),
    })),
  }
}

/** What fdisk says of a file as a disk with sectors of 4096 bytes: it is the one that can be told. */
export function toldByFdisk(path: string): ToldTable {
  const dump = `${path}.dump`
  run('fdisk', ['-b', '4096', path], `O\n${dump}\nq\n`)
  const text = execFileSync('cat', [dump]).toString()
  rmSync(dump)
  const header = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1] ?? ''
  const isGpt = header('label') === 'gpt'
  const lines = text.split('\n').filter((line) => line.includes(' : start='))
  return {
    label: header('label'),
    id: header('label-id').toLowerCase().replace('0x', ''),
    ...(isGpt && { firstLba: Number(header('first-lba')), lastLba: Number(header('last-lba')) }),
    partitions: lines.map((line) => {
      const [node = '', fields = ''] = line.split(' : ')
      const field = (name: string): string =>
        new RegExp(`\\b${name}=\\s*(?:"([^"]*)"|([^,\\s]+))`).exec(fields)?.slice(1).join('') ?? ''
      const attrs = field('attrs')
      return {
        number: numberOf(node),
        start: Number(field('start')),
        size: Number(field('size')),
        type: isGpt ? field('type').toLowerCase() : field('type').padStart(2, '0'),
        uuid: field('uuid').toLowerCase(),
        name: unescaped(field('name')),
        bits: bitsOf(attrs),
        bootable: /, bootable/.test(fields) || bitsOf(attrs).includes(2),
      }
    }),
  }
}

/** The same of a table that Platter has read. */
export function told(table: PartitionTable): ToldTable {
  const { kind, partitions, sectorBytes } = table
  const isMbr = kind === 'mbr'
  const one = ({ number, offset, length, type, partUuid, name, attributeBits, bootable }: Partition) => ({
    number,
    start: offset / sectorBytes,
    size: length / sectorBytes,
    type,
    uuid: isMbr ? '' : partUuid,
    name,
    bits: attributeBits,
    bootable,
  })
  return {
    label: isMbr ? 'dos' : kind === 'hybrid' ? 'gpt' : kind,
    id: isMbr ? table.signature : 'diskGuid' in table ? table.diskGuid : '',
    ...('usable' in table && {
      firstLba: table.usable.offset / sectorBytes,
      lastLba: (table.usable.offset + table.usable.length) / sectorBytes - 1,
    }),
    partitions: partitions.map(one),
  }
}

/** Throws unless sfdisk and sgdisk find nothing wrong. */
export function verify(path: string): void {
  const said = run('sfdisk', ['--verify', path])
  if (!said.includes('No errors detected')) throw new Error(`sfdisk --verify: ${said}`)
  if (toldBySfdisk(path).label !== 'gpt' || !has('sgdisk')) return
  const found = run('sgdisk', ['-v', path])
  if (!found.includes('No problems found')) throw new Error(`sgdisk -v: ${found}`)
}

function numberOf(node: string): number {
  return Number(/(\d+)$/.exec(node)?.[1])
}

const NAMED_BITS: Readonly<Record<string, number>> = {
  RequiredPartition: 0,
  NoBlockIOProtocol: 1,
  LegacyBIOSBootable: 2,
}

function bitsOf(attrs: string): number[] {
  const bits = attrs
    .split(/[ ,]+/)
    .filter((word) => word !== '')
    .map((word) => NAMED_BITS[word] ?? Number(word.replace('GUID:', '')))
  return bits.sort((a, b) => a - b)
}

/** Scripts of sfdisk have bytes beyond ASCII as \xNN. */
function unescaped(text: string): string {
  const bytes = text.replace(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return /\\x/.test(text) ? Buffer.from(bytes, 'latin1').toString() : text
}
