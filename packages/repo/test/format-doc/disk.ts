// Section 15 of docs/format.md: the description of a disk.
import assert from 'node:assert/strict'

interface Problem {
  readonly code: string
  readonly message: string
}

interface VolumeRecord {
  readonly filesystem?: {
    readonly type: string
    readonly label?: string
    readonly uuid?: string
    readonly blockBytes: number
    readonly sizeBytes: number
  }
  readonly usedBytes?: number
  readonly leftOut: readonly { readonly use: string; readonly bytes: number }[]
  readonly problem?: Problem
}

export interface DiskRecord {
  readonly policy: string
  readonly table: {
    readonly kind: string
    readonly sectorBytes: number
    readonly id?: string
    readonly problems: readonly (Problem & { readonly severity: string })[]
  }
  readonly partitions: readonly {
    readonly number: number
    readonly kind: string
    readonly offset: number
    readonly length: number
    readonly type: string
    readonly typeName?: string
    readonly partUuid: string
    readonly name?: string
    readonly bootable: boolean
    readonly volume?: VolumeRecord
  }[]
  readonly volume?: VolumeRecord
  readonly usage: Uint8Array
}

/** Throws unless it is as the document says. */
export function assertDisk(disk: DiskRecord): void {
  const { table, partitions, volume, usage } = disk
  assertTexts([disk.policy, table.kind], [table.id])
  assertIntegers([table.sectorBytes], 1)
  assert.ok(table.problems.length <= 64)
  for (const { code, message, severity } of table.problems) assertTexts([code, message, severity], [])
  assert.ok(partitions.length <= 1024)
  for (const partition of partitions) {
    assertIntegers([partition.number], 1)
    assertIntegers([partition.offset, partition.length], 0)
    const { kind, type, partUuid, typeName, name, bootable } = partition
    assertTexts([kind, type, partUuid], [typeName, name])
    assert.equal(typeof bootable, 'boolean')
    assertVolume(partition.volume)
  }
  assertVolume(volume)
  assert.ok(usage instanceof Uint8Array && usage.length <= 1024)
}

function assertVolume(volume: VolumeRecord | undefined): void {
  if (volume === undefined) return
  const { filesystem, usedBytes = 0, leftOut, problem } = volume
  if (filesystem !== undefined) {
    assertTexts([filesystem.type], [filesystem.label, filesystem.uuid])
    assertIntegers([filesystem.blockBytes, filesystem.sizeBytes], 0)
  }
  assertIntegers([usedBytes, ...leftOut.map(({ bytes }) => bytes)], 0)
  assert.ok(leftOut.length <= 16)
  assertTexts(
    leftOut.map(({ use }) => use),
    [],
  )
  if (problem !== undefined) assertTexts([problem.code, problem.message], [])
}

function assertTexts(texts: readonly unknown[], optional: readonly unknown[]): void {
  for (const text of [...texts, ...optional.filter((one) => one !== undefined)])
    assert.ok(typeof text === 'string' && text.length <= 1024)
}

function assertIntegers(numbers: readonly unknown[], min: number): void {
  for (const number of numbers) assert.ok(Number.isSafeInteger(number) && (number as number) >= min)
}
