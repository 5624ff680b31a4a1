import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import type { Volume } from '@platter/fs-adapters'

export const MiB: number = 2 ** 20

/** Tools of filesystems stand where only root's PATH looks. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: 'C', TZ: 'UTC' }

/** What a test needs that is not installed, as tap's `skip` wants it; false when all is there. */
export function missing(...tools: string[]): string | false {
  const absent = tools.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`], { env }).status !== 0)
  return absent.length > 0 && `needs ${absent.join(', ')}`
}

/** Runs a program and returns what it prints; throws with all it said when it fails. */
export function run(command: string, ...args: string[]): string {
  return runWith({}, command, ...args)
}

export function runWith(
  {
    input,
    allowed = [0],
    variables = {},
  }: { input?: string; allowed?: readonly number[]; variables?: Readonly<Record<string, string>> },
  command: string,
  ...args: string[]
): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    env: { ...env, ...variables },
    maxBuffer: 512 * MiB,
    ...(input === undefined ? {} : { input }),
  })
  if (error === undefined && status !== null && allowed.includes(status)) return stdout.toString()
  throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? `exit ${status}`}\n${stdout}\n${stderr}`)
}

/** A file of zeros without blocks. */
export function emptyImage(path: string, sizeBytes: number): string {
  const fd = openSync(path, 'w')
  ftruncateSync(fd, sizeBytes)
  closeSync(fd)
  return path
}

/** An image as a volume. Reading beyond it is a failure of the test, not a short read. */
export class ImageVolume implements Volume, Disposable {
  readonly sizeBytes: number
  readonly #fd: number
  bytesRead = 0

  constructor(path: string) {
    this.#fd = openSync(path, 'r')
    this.sizeBytes = statSync(path).size
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    if (offset < 0 || offset + into.length > this.sizeBytes)
      throw new Error(`read beyond the volume at ${offset}`)
    this.bytesRead += into.length
    return readSync(this.#fd, into, 0, into.length, offset)
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

/** Bytes in memory as a volume, which counts what is read. */
export class MemoryVolume implements Volume {
  readonly sizeBytes: number
  readonly #bytes: Uint8Array
  bytesRead = 0

  constructor(bytes: Uint8Array, sizeBytes: number = bytes.length) {
    this.#bytes = bytes
    this.sizeBytes = sizeBytes
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    if (offset < 0 || offset + into.length > this.sizeBytes)
      throw new Error(`read beyond the volume at ${offset}`)
    this.bytesRead += into.length
    const piece = this.#bytes.subarray(offset, offset + into.length)
    into.fill(0)
    into.set(piece)
    return into.length
  }
}

/** Fills a folder with files of many sizes, the same for the same seed. Returns its path. */
export function makeFiles(folder: string, { seed = 1, count = 40, totalBytes = 4 * MiB } = {}): string {
  mkdirSync(join(folder, 'sub', 'deeper'), { recursive: true })
  let random = seed * 2654435761
  const next = () => (random = (Math.imul(random, 1664525) + 1013904223) >>> 0)
  for (let i = 0; i < count; i++) {
    const size = i % 7 === 0 ? next() % 100 : next() % Math.floor((2 * totalBytes) / count)
    const bytes = new Uint8Array(size)
    for (let at = 0; at < size; at++)
      bytes[at] = (at & 3) === 0 ? next() >>> 24 : (random >>> (8 * (at & 3))) & 255
    writeFileSync(join(folder, ['', 'sub', 'sub/deeper'][i % 3]!, `file-${i}.dat`), bytes)
  }
  return folder
}

/** Hash of every file below a folder, by relative path. */
export function hashesOf(folder: string): Record<string, string> {
  const hashes: Record<string, string> = {}
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    hashes[relative(folder, path)] = createHash('sha256').update(readFileSync(path)).digest('hex')
  }
  return Object.fromEntries(Object.entries(hashes).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Whether loop devices and a filesystem of this kind can be mounted here. */
export function cannotMount(type: string): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'mounting needs root on Linux'
  if (!readFileSync('/proc/filesystems', 'utf8').includes(`\t${type}\n`))
    return `the kernel does not know ${type}`
  return spawnSync('losetup', ['-f'], { env }).status === 0 ? false : 'loop devices are not there'
}

/** Mounts an image at a folder for the time of `use`, and copies it before it is unmounted. Returns the copy's path. */
export function copyWhileMounted(
  image: string,
  mountPoint: string,
  type: string,
  use: (mountPoint: string) => void,
): string {
  mkdirSync(mountPoint, { recursive: true })
  run('mount', '-t', type, '-o', 'loop', image, mountPoint)
  try {
    use(mountPoint)
    run('sync', '-f', mountPoint)
    copyFileSync(image, `${image}.live`)
  } finally {
    run('umount', mountPoint)
  }
  return `${image}.live`
}

/** Why filesystems of FUSE cannot be mounted from loop devices here; false when they can. */
export function cannotFuse(...tools: string[]): string | false {
  const absent = missing('losetup', 'umount', ...tools)
  if (absent !== false) return absent
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'mounting needs root on Linux'
  if (!existsSync('/dev/fuse')) return 'FUSE is not there'
  return spawnSync('losetup', ['-f'], { env }).status === 0 ? false : 'loop devices are not there'
}

/** Mounts an image by a program of FUSE for the time of `use`. All is written when it returns. */
export function whileFused<Result>(
  image: string,
  mountPoint: string,
  mount: (device: string, mountPoint: string) => void,
  use: (mountPoint: string) => Result,
): Result {
  rmSync(mountPoint, { recursive: true, force: true })
  mkdirSync(mountPoint)
  const device = run('losetup', '--find', '--show', image).trim()
  try {
    mount(device, mountPoint)
    try {
      return use(mountPoint)
    } finally {
      run('umount', mountPoint)
      run('blockdev', '--flushbufs', device)
    }
  } finally {
    run('losetup', '--detach', device)
  }
}

/** Writes files, removes every third, and writes others into the gaps. */
export function fillFolder(folder: string, { totalBytes = 3 * MiB, count = 60 } = {}): void {
  makeFiles(join(folder, 'first'), { totalBytes: totalBytes / 2, count })
  const paths = Object.keys(hashesOf(join(folder, 'first')))
  for (const path of paths.filter((_, i) => i % 3 === 0)) rmSync(join(folder, 'first', path))
  makeFiles(join(folder, 'second'), { totalBytes: totalBytes / 2, count: 9, seed: 2 })
}
