// Disks with partitions and filesystems that the tools of Linux made, with remains of old data wherever nothing else is.
import { spawnSync } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { noise } from '../harness.ts'

export const MIB: number = 1024 ** 2

/** Tools of filesystems stand where only root's PATH looks. */
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: 'C', TZ: 'UTC' }

const TOOLS = ['sfdisk', 'mke2fs', 'debugfs', 'e2fsck', 'mkfs.fat', 'fsck.fat', 'mcopy', 'mdel', 'mkswap']

/** What is not installed, as the option `skip` of a test. */
export function missingTools(): string | false {
  const absent = TOOLS.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`], { env }).status !== 0)
  return absent.length > 0 && `needs ${absent.join(', ')} (sfdisk, e2fsprogs, dosfstools, mtools)`
}

/** Runs a program, and throws with all it said when it fails. */
export function run(command: string, args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync(command, args, { env, input, maxBuffer: 2 ** 28 })
  if (status === 0) return stdout.toString()
  throw new Error(`${command} ${args.join(' ')}: exit ${status}\n${stdout}\n${stderr}`)
}

/** A partition of a made disk. */
export interface MadePartition {
  readonly number: number
  readonly content: 'fat' | 'ext4' | 'swap'
  readonly offset: number
  readonly sizeBytes: number
}

export interface MadeDisk {
  readonly path: string
  readonly sizeBytes: number
  readonly partitions: readonly MadePartition[]
}

const SIZE = 56 * MIB

const SCRIPTS = {
  gpt: `label: gpt
label-id: 6D5A8A1C-0B0D-4E0F-9A55-0123456789AB
start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name="bios"
start=2MiB, size=16MiB, type=U, name="EFI System", bootable
start=20MiB, size=24MiB, type=L, name="root"
start=44MiB, size=4MiB, type=S
`,
  dos: `label: dos
label-id: 0xCAFE0123
start=2MiB, size=16MiB, type=c, bootable
start=19MiB, size=30MiB, type=5
start=20MiB, size=24MiB, type=83
start=45MiB, size=3MiB, type=82
`,
} as const

/**
 * Makes a disk with FAT16, ext4 and swap space, with gaps between them and behind them. Files were deleted again; what is
 * free, and all that belongs to no partition, is full of noise.
 */
export function makeDisk(folder: string, label: keyof typeof SCRIPTS): MadeDisk {
  const path = join(folder, `${label}.img`)
  writeNoise(path, SIZE)
  run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', '--wipe', 'never', path], SCRIPTS[label])
  const first = label === 'gpt' ? 2 : 1
  const partitions: MadePartition[] = [
    { number: first, content: 'fat', offset: 2 * MIB, sizeBytes: 16 * MIB },
    { number: label === 'gpt' ? 3 : 5, content: 'ext4', offset: 20 * MIB, sizeBytes: 24 * MIB },
    label === 'gpt'
      ? { number: 4, content: 'swap', offset: 44 * MIB, sizeBytes: 4 * MIB }
      : { number: 6, content: 'swap', offset: 45 * MIB, sizeBytes: 3 * MIB },
  ]
  const files = makeFiles(join(folder, 'files'))
  for (const partition of partitions) {
    const image = join(folder, 'one.img')
    writeNoise(image, partition.sizeBytes)
    MAKERS[partition.content](image, files)
    place(image, path, partition.offset)
    rmSync(image)
  }
  return { path, sizeBytes: SIZE, partitions }
}

const MAKERS: Readonly<Record<MadePartition['content'], (image: string, files: string) => void>> = {
  fat: (image, files) => {
    run('mkfs.fat', ['-F', '16', '-s', '4', '-n', 'ESP', '-i', '1234abcd', image])
    run('mcopy', ['-s', '-i', image, files, '::files'])
    run('mdel', ['-i', image, '::files/file-3.dat'])
  },
  ext4: (image, files) => {
    const extended = 'nodiscard,lazy_itable_init=0,lazy_journal_init=0'
    const uuid = '12345678-1234-1234-1234-123456789abc'
    run('mke2fs', ['-q', '-F', '-t', 'ext4', '-E', extended, '-L', 'rootfs', '-U', uuid, '-d', files, image])
    run('debugfs', ['-w', '-R', 'rm /file-4.dat', image])
  },
  swap: (image) => run('mkswap', ['-L', 'swapping', '-U', '87654321-1234-1234-1234-123456789abc', image]),
}

/** Throws unless the filesystems of an image of the disk pass their own checks; gives hashes of all files by path. */
export function filesOf(image: string, disk: MadeDisk, scratch: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const { number, content, offset, sizeBytes } of disk.partitions) {
    if (content === 'swap') continue
    const one = `${image}.${number}`
    writeFileSync(one, partOf(image, offset, sizeBytes))
    rmSync(scratch, { recursive: true, force: true })
    mkdirSync(scratch)
    if (content === 'fat') {
      run('fsck.fat', ['-n', one])
      run('mcopy', ['-s', '-n', '-Q', '-i', one, '::*', scratch])
    } else {
      run('e2fsck', ['-f', '-n', one])
      run('debugfs', ['-R', `rdump / ${scratch}`, one])
    }
    for (const [path, hash] of Object.entries(hashesOf(scratch))) found[`${content}/${path}`] = hash
    rmSync(one)
  }
  return found
}

/** Makes the ext4 of a copy of the disk look as if it had not been unmounted. */
export function withDirtyExt4({ path, partitions }: MadeDisk, to: string): string {
  copyFileSync(path, to)
  const { offset, sizeBytes } = partitions.find(({ content }) => content === 'ext4')!
  const one = `${to}.ext4`
  writeFileSync(one, partOf(path, offset, sizeBytes))
  run('debugfs', ['-w', '-R', 'feature needs_recovery', one])
  place(one, to, offset)
  rmSync(one)
  return to
}

export function partOf(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  const fd = openSync(path, 'r')
  readSync(fd, bytes, 0, length, offset)
  closeSync(fd)
  return bytes
}

function place(from: string, to: string, offset: number): void {
  const fd = openSync(to, 'r+')
  const bytes = readFileSync(from)
  writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}

/** Fills a file with what does not compress, the same for the same size. */
export function writeNoise(path: string, sizeBytes: number, seed = String(sizeBytes)): void {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  const zeros = Buffer.alloc(4 * MIB)
  const fd = openSync(path, 'w')
  for (let at = 0; at < sizeBytes; at += zeros.length)
    writeSync(fd, cipher.update(zeros), 0, Math.min(zeros.length, sizeBytes - at), at)
  closeSync(fd)
}

function makeFiles(folder: string): string {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'sub'), { recursive: true })
  for (let i = 0; i < 10; i++)
    writeFileSync(
      join(folder, i % 3 === 0 ? 'sub' : '.', `file-${i}.dat`),
      noise(40_000 * i + 17, `file ${i}`),
    )
  writeFileSync(join(folder, 'file-3.dat'), noise(300_000, 'deleted from the one'))
  return folder
}

function hashesOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(
    files
      .sort()
      .map((path) => [
        relative(folder, path),
        `${statSync(path).size} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`,
      ]),
  )
}
