import { readFileSync } from 'node:fs'
import { emptyImage, hashesOf, MiB, run, whileFused } from './images.ts'
import type { FilesystemTools } from './used-map-conformance.ts'

export interface ExfatCase {
  readonly sizeBytes: number
  /** Arguments of mkfs.exfat. */
  readonly options: string
  /** How many files fit into it. */
  readonly files?: number
}

export const EXFAT_CASES: readonly ExfatCase[] = [
  { sizeBytes: 24 * MiB, options: '-c 4K' },
  { sizeBytes: 12 * MiB + 3 * 512, options: '-c 512 -b 4K' },
  { sizeBytes: 32 * MiB + 5000, options: '-c 32K --pack-bitmap' },
  { sizeBytes: 160 * MiB, options: '-c 2M', files: 12 },
]

export function formatExfat(path: string, { sizeBytes, options }: ExfatCase): string {
  emptyImage(path, sizeBytes)
  run('mkfs.exfat', '-L', 'some label', ...options.split(' '), path)
  return path
}

export function whileExfat<Result>(image: string, options: string, use: (folder: string) => Result): Result {
  const mount = (device: string, folder: string) => run('mount.exfat-fuse', '-o', options, device, folder)
  return whileFused(image, `${image}.mount`, mount, use)
}

export const EXFAT_TOOLS: FilesystemTools = {
  check: (image) => run('fsck.exfat', '-n', image),
  hashes: (image) => whileExfat(image, 'ro', hashesOf),
  partclone: 'partclone.exfat',
  // The last cluster.
  partcloneEnd: (image) => {
    const exfat = new ExfatBytes(new Uint8Array(readFileSync(image)))
    return exfat.clusterAt(exfat.data.getUint32(92, true) + 2)
  },
}

/** An exFAT in memory, to change what it says. */
export class ExfatBytes {
  readonly bytes: Uint8Array
  readonly data: DataView

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    this.data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  copy(): ExfatBytes {
    return new ExfatBytes(this.bytes.slice())
  }

  get #sectorBytes(): number {
    return 2 ** this.data.getUint8(108)
  }

  get clusterBytes(): number {
    return this.#sectorBytes * 2 ** this.data.getUint8(109)
  }

  get tableAt(): number {
    return this.data.getUint32(80, true) * this.#sectorBytes
  }

  clusterAt(cluster: number): number {
    return this.data.getUint32(88, true) * this.#sectorBytes + (cluster - 2) * this.clusterBytes
  }

  get rootAt(): number {
    return this.clusterAt(this.data.getUint32(96, true))
  }

  setTable(cluster: number, value: number): void {
    this.data.setUint32(this.tableAt + cluster * 4, value, true)
  }

  /** Place of the first entry of a kind in the root directory, or in the cluster at `from`. */
  entryAt(kind: number, from: number = this.rootAt): number {
    for (let at = from; at < from + this.clusterBytes; at += 32) if (this.bytes[at] === kind) return at
    throw new Error(`there is no entry of kind ${kind}`)
  }

  /** Changes both copies of the boot sector and makes their checksums right. */
  changeBoot(change: (sector: DataView) => void): void {
    const sectorBytes = this.#sectorBytes
    for (const at of [0, 12 * sectorBytes]) {
      change(new DataView(this.bytes.buffer, at, 512))
      let sum = 0
      for (let i = 0; i < 11 * sectorBytes; i++) {
        if (i === 106 || i === 107 || i === 112) continue
        sum = ((((sum & 1) << 31) + (sum >>> 1) + this.bytes[at + i]!) % 2 ** 32) >>> 0
      }
      for (let i = 0; i < sectorBytes; i += 4) this.data.setUint32(at + 11 * sectorBytes + i, sum, true)
    }
  }

  /** Changes a set of entries and makes its checksum right. */
  changeSet(at: number, change: (entries: DataView) => void): void {
    const length = 32 * (1 + this.bytes[at + 1]!)
    const set = new DataView(this.bytes.buffer, at, length)
    change(set)
    let sum = 0
    for (let i = 0; i < length; i++) {
      if (i !== 2 && i !== 3) sum = (((sum & 1) << 15) + (sum >>> 1) + set.getUint8(i)) & 0xffff
    }
    set.setUint16(2, sum, true)
  }
}
