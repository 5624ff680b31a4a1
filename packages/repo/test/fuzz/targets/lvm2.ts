// LVM2: a small physical volume whose metadata are what the input says, with right checksums.
import { crc32 } from 'node:zlib'
import { probeFilesystem } from '@platter/fs-adapters'
import { type FuzzTarget, sound } from '../target.ts'

const VOLUME_BYTES = 256 * 1024
const AREA = 4096
const AREA_BYTES = 128 * 1024 - AREA
const EXTENTS_AT = 128 * 1024
const ID = 'abcdefghijklmnopqrstuvwxyz012345'

const disk = Buffer.alloc(VOLUME_BYTES)

/** Extents have 8 KiB; there are 16. */
const lvm2: FuzzTarget = {
  name: 'lvm2-metadata',
  form: 'text',
  seeds: [
    [linear('root', [0, 3], [8, 2]), linear('swap', [4, 2])],
    [linear('root', [0, 3]), striped('wide'), snapshot('before', 'root')],
    [linear('all', [0, 16])],
    [],
  ].map((volumes) => Buffer.from(group(volumes))),
  codes: [],
  async run(input) {
    layOut(input.subarray(0, AREA_BYTES - 512))
    const map = await probeFilesystem({
      sizeBytes: VOLUME_BYTES,
      read: async (offset, into) => disk.copy(into, 0, offset, offset + into.length),
    })
    let end = 0
    for (const { offset, length, use } of map.extents()) {
      sound(offset === end && length > 0, 'extents do not cover the volume')
      sound(use === 'used' || offset >= EXTENTS_AT, 'metadata are left out')
      end = offset + length
    }
    sound(end === VOLUME_BYTES, 'extents do not cover the volume')
    return map.problem?.code ?? map.state
  },
}

function layOut(text: Uint8Array): void {
  disk.fill(0)
  disk.write('LABELONE', 512, 'latin1')
  disk.writeUInt32LE(1, 520)
  disk.writeUInt32LE(32, 512 + 20)
  disk.write('LVM2 001', 512 + 24, 'latin1')
  disk.write(ID, 544, 'latin1')
  const numbers = [VOLUME_BYTES, EXTENTS_AT, 0, 0, 0, AREA, AREA_BYTES, 0, 0]
  for (const [i, number] of numbers.entries()) disk.writeBigUInt64LE(BigInt(number), 576 + 8 * i)
  disk.writeUInt32LE(sumOf(disk.subarray(512 + 20, 1024)), 512 + 16)
  disk.write(' LVM2 x[5A%r0N*>', AREA + 4, 'latin1')
  disk.writeUInt32LE(1, AREA + 20)
  for (const [i, number] of [AREA, AREA_BYTES, 512, text.length].entries())
    disk.writeBigUInt64LE(BigInt(number), AREA + 24 + 8 * i)
  disk.set(text, AREA + 512)
  disk.writeUInt32LE(sumOf(text), AREA + 56)
  disk.writeUInt32LE(sumOf(disk.subarray(AREA + 4, AREA + 512)), AREA)
  // Swap space where the first volume begins, so that there is something to leave out within it.
  disk.writeUInt32LE(1, EXTENTS_AT + 1024)
  disk.writeUInt32LE(3, EXTENTS_AT + 1028)
  disk.write('SWAPSPACE2', EXTENTS_AT + 4086, 'latin1')
}

function sumOf(bytes: Uint8Array): number {
  return (crc32(bytes, ~0xf597a6cf >>> 0) ^ 0xffffffff) >>> 0
}

function group(volumes: readonly string[]): string {
  return `vg {
id = "x"
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = 16 # 8 KiB
physical_volumes {
pv0 {
id = "${ID.replace(/^(.{6})(.{20})/, '$1-$2-')}"
status = ["ALLOCATABLE"]
flags = []
pe_start = 256
pe_count = 16
}
}
logical_volumes {
${volumes.join('\n')}
}
}
contents = "Text Format Volume Group"
version = 1
description = "a \\"word\\""
`
}

function volume(name: string, segments: readonly string[]): string {
  const list = segments.map((segment, i) => `segment${i + 1} {\n${segment}\n}`)
  return `${name} {
status = ["READ", "WRITE", "VISIBLE"]
flags = []
segment_count = ${segments.length}
${list.join('\n')}
}`
}

function linear(name: string, ...runs: readonly (readonly [start: number, count: number])[]): string {
  let at = 0
  return volume(
    name,
    runs.map(([start, count]) => {
      const segment = `start_extent = ${at}\nextent_count = ${count}\ntype = "striped"\nstripe_count = 1\nstripes = ["pv0", ${start}]`
      at += count
      return segment
    }),
  )
}

function striped(name: string): string {
  const stripes = 'stripes = ["pv0", 4, "pv0", 6]'
  return volume(name, [`start_extent = 0\nextent_count = 4\ntype = "striped"\nstripe_count = 2\n${stripes}`])
}

function snapshot(name: string, origin: string): string {
  return volume(name, [`start_extent = 0\nextent_count = 1\ntype = "snapshot"\norigin = "${origin}"`])
}

export const LVM2_TARGETS: readonly FuzzTarget[] = [lvm2]
