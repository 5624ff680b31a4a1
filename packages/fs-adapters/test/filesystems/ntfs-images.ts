import { emptyImage, hashesOf, MiB, run, whileFused } from './images.ts'
import type { FilesystemTools } from './used-map-conformance.ts'

export interface NtfsCase {
  readonly sizeBytes: number
  /** Arguments of mkntfs. */
  readonly options: string
  /** How many files fit into it. */
  readonly files?: number
}

export const NTFS_CASES: readonly NtfsCase[] = [
  { sizeBytes: 24 * MiB, options: '-c 4096' },
  { sizeBytes: 16 * MiB + 3 * 512, options: '-c 512' },
  { sizeBytes: 20 * MiB + 5000, options: '-c 1024 -C' },
  { sizeBytes: 40 * MiB, options: '-c 65536', files: 40 },
  { sizeBytes: 120 * MiB, options: '-c 2097152', files: 12 },
  { sizeBytes: 40 * MiB, options: '-c 131072', files: 30 },
  { sizeBytes: 20 * MiB, options: '-s 4096 -c 4096' },
  { sizeBytes: 24 * MiB, options: '-s 2048 -c 8192' },
]

export function formatNtfs(path: string, { sizeBytes, options }: NtfsCase): string {
  emptyImage(path, sizeBytes)
  // Zeros as time make the same image each time.
  run('mkntfs', '-q', '-F', '-Q', '-T', '-L', 'some label', ...options.split(' '), path)
  return path
}

export function whileNtfs<Result>(image: string, options: string, use: (folder: string) => Result): Result {
  const mount = (device: string, folder: string) => run('ntfs-3g', '-o', options, device, folder)
  return whileFused(image, `${image}.mount`, mount, use)
}

export const NTFS_TOOLS: FilesystemTools = {
  // It walks through all files and compares what they have with the bitmap.
  check: (image) => run('ntfsresize', '--info', '--force', '--no-progress-bar', image),
  hashes: (image) => whileNtfs(image, 'ro', hashesOf),
  partclone: 'partclone.ntfs',
}

/** An NTFS in memory, to change what its files say. The first records of its file table lie side by side. */
export class NtfsBytes {
  readonly bytes: Uint8Array
  readonly data: DataView
  readonly clusterBytes: number
  readonly recordBytes: number

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.clusterBytes = this.data.getUint16(11, true) * this.data.getUint8(13)
    const told = this.data.getInt8(64)
    this.recordBytes = told > 0 ? told * this.clusterBytes : 2 ** -told
  }

  copy(): NtfsBytes {
    return new NtfsBytes(this.bytes.slice())
  }

  /** Place of the cluster that a field of the boot sector names. */
  #cluster(field: number): number {
    return Number(this.data.getBigUint64(field, true)) * this.clusterBytes
  }

  recordAt(number: number): number {
    return this.#cluster(48) + number * this.recordBytes
  }

  get backupAt(): number {
    return Number(this.data.getBigUint64(40, true)) * this.data.getUint16(11, true)
  }

  /** Changes both boot sectors. */
  changeBoot(change: (sector: DataView) => void): void {
    const at = this.backupAt
    for (const offset of [0, at]) change(new DataView(this.bytes.buffer, offset, 512))
  }

  /** Changes a record as it is without fixups, and its copy in the mirror. */
  change(number: number, change: (record: DataView) => void, { withMirror = true } = {}): void {
    const places = [this.recordAt(number)]
    if (withMirror && number < 4) places.push(this.#cluster(56) + number * this.recordBytes)
    for (const at of places) {
      const record = new DataView(this.bytes.buffer, at, this.recordBytes)
      const array = record.getUint16(4, true)
      for (let end = 510, i = 1; end < this.recordBytes; end += 512, i++)
        record.setUint16(end, record.getUint16(array + 2 * i, true), true)
      change(record)
      for (let end = 510, i = 1; end < this.recordBytes; end += 512, i++) {
        record.setUint16(array + 2 * i, record.getUint16(end, true), true)
        record.setUint16(end, record.getUint16(array, true), true)
      }
    }
  }

  /** Changes an attribute of a record. */
  changeAttribute(
    number: number,
    type: number,
    change: (attribute: DataView) => void,
    options?: { readonly withMirror: boolean },
  ): void {
    const changeRecord = (record: DataView) => {
      let at = record.getUint16(20, true)
      while (record.getUint32(at, true) !== type) {
        if (record.getUint32(at, true) === 0xffffffff) throw new Error(`record ${number} has no ${type}`)
        at += record.getUint32(at + 4, true)
      }
      const length = record.getUint32(at + 4, true)
      change(new DataView(record.buffer, record.byteOffset + at, length))
    }
    this.change(number, changeRecord, options)
  }

  /** Place of the first run of an attribute. */
  runAt(number: number, type: number): number {
    let place = 0
    this.copy().changeAttribute(number, type, (attribute) => {
      const pairs = attribute.getUint16(32, true)
      const header = attribute.getUint8(pairs)
      let start = 0
      for (let i = header >> 4; i > 0; i--)
        start = start * 256 + attribute.getUint8(pairs + (header & 15) + i)
      place = start * this.clusterBytes
    })
    return place
  }

  /** Number of the record of a file. */
  find(name: string): number {
    const needle = Buffer.from(name, 'utf16le')
    for (let number = 24; number < 4000; number++) {
      const record = Buffer.from(this.bytes.subarray(this.recordAt(number), this.recordAt(number + 1)))
      if (record.toString('latin1', 0, 4) !== 'FILE') break
      if (record.includes(needle)) return number
    }
    throw new Error(`there is no file ${name}`)
  }
}
