import { viewOf } from './decoding.ts'
import { type GptHeader, lbaAt } from './gpt-copy.ts'
import { guidText, NIL_GUID } from './guid.ts'
import { type Partition, problem, type TableProblem } from './partition-table.ts'
import { typeName } from './type-names.ts'

/** Where the fields of an entry stand, in bytes (UEFI 2.10, section 5.3.3). */
export const ENTRY_FIELDS = {
  type: 0,
  guid: 16,
  firstLba: 32,
  lastLba: 40,
  attributes: 48,
  name: 56,
  nameEnd: 128,
} as const

const LEGACY_BOOT_BIT = 2

/** Whether a table has any partition. */
export function isUsed({ entryBytes }: GptHeader, entries: Uint8Array): boolean {
  for (let at = 0; at < entries.length; at += entryBytes) if (isEntryUsed(entries, at)) return true
  return false
}

function isEntryUsed(entries: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 16; i++) if (entries[i] !== 0) return true
  return false
}

/** The partitions of a valid copy. Entries that name no range, and GUIDs that are not unique, are problems. */
export function gptPartitions(
  header: GptHeader,
  entries: Uint8Array,
  sectorBytes: number,
): { readonly partitions: Partition[]; readonly problems: TableProblem[] } {
  const partitions: Partition[] = []
  const problems: TableProblem[] = []
  const guids = new Set<string>()
  for (let index = 0; index < header.entryCount; index++) {
    const at = index * header.entryBytes
    if (!isEntryUsed(entries, at)) continue
    const number = index + 1
    const partition = gptPartition(entries.subarray(at, at + header.entryBytes), number, sectorBytes)
    if (partition === undefined) {
      const message = `Partition ${number} ends before it begins, or lies beyond what can be addressed.`
      problems.push(problem('error', 'partition-invalid', message))
      continue
    }
    partitions.push(partition)
    const isKnown = guids.has(partition.partUuid) || partition.partUuid === NIL_GUID
    if (isKnown) {
      const message = `The GUID of partition ${number} is not unique.`
      problems.push(problem('warning', 'duplicate-guid', message))
    }
    guids.add(partition.partUuid)
  }
  return { partitions, problems }
}

function gptPartition(entry: Uint8Array, number: number, sectorBytes: number): Partition | undefined {
  const view = viewOf(entry)
  const first = lbaAt(view, ENTRY_FIELDS.firstLba)
  const last = lbaAt(view, ENTRY_FIELDS.lastLba)
  if (last < first || !Number.isSafeInteger((last + 1) * sectorBytes)) return undefined
  const type = guidText(entry, ENTRY_FIELDS.type)
  const attributeBits = bitsOf(view.getBigUint64(ENTRY_FIELDS.attributes, true))
  return {
    number,
    kind: 'primary',
    offset: first * sectorBytes,
    length: (last - first + 1) * sectorBytes,
    type,
    typeName: typeName(type),
    partUuid: guidText(entry, ENTRY_FIELDS.guid),
    name: nameOf(entry),
    bootable: attributeBits.includes(LEGACY_BOOT_BIT),
    attributeBits,
  }
}

function bitsOf(attributes: bigint): number[] {
  const bits: number[] = []
  for (let rest = attributes, bit = 0; rest !== 0n; rest >>= 1n, bit++) if (rest & 1n) bits.push(bit)
  return bits
}

function nameOf(entry: Uint8Array): string {
  const bytes = entry.subarray(ENTRY_FIELDS.name, ENTRY_FIELDS.nameEnd)
  const text = new TextDecoder('utf-16le', { ignoreBOM: true }).decode(bytes)
  const end = text.indexOf('\0')
  return end < 0 ? text : text.slice(0, end)
}
