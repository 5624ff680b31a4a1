import { createRequire } from 'node:module'

/** Calls of Linux that Node does not offer. All of them throw errors with the `code` of the system. */
export interface LinuxCalls {
  /** Next offset at or after `offset` that holds data; undefined when there is none up to the end of the file. */
  seekData(fd: number, offset: number): number | undefined
  /** Next offset at or after `offset` that is in a hole; the end of the file counts as one. */
  seekHole(fd: number, offset: number): number
  /** Makes a range of a file a hole, which reads as zeros; the size of the file stays. */
  punchHole(fd: number, offset: number, length: number): Promise<void>
  /** Size of a block device in bytes. */
  blockDeviceBytes(fd: number): number
  /** Lets a pipe hold more, so that fewer wake-ups move more; the kernel may refuse. */
  setPipeBytes(fd: number, bytes: number): void
  /** Makes a range of a block device read as zeros, without sending them where the device can do that. */
  zeroBlocks(fd: number, offset: number, length: number): Promise<void>
  /** Forgets what is held in memory of a file or device and has been written; the kernel may keep some. */
  dropCache?(fd: number): void
}

/** Loads the foreign-function library; tests hand in one that fails. */
export type KoffiLoader = () => unknown

/** An option of everything here that profits from {@link LinuxCalls}. */
export interface LinuxCallsOption {
  /** Calls of Linux that Node does not offer; false for doing without. Default: {@link loadLinuxCalls}. */
  readonly linuxCalls?: LinuxCalls | false
}

const SEEK_DATA = 3
const SEEK_HOLE = 4
const F_SETPIPE_SZ = 1031
const FALLOC_FL_KEEP_SIZE = 1
const FALLOC_FL_PUNCH_HOLE = 2
// <linux/fs.h>. _IOR(0x12, 114, size_t) and _IO(0x12, 127), in the encoding that the machines below share.
const BLKGETSIZE64 = 0x80081272
const BLKZEROOUT = 0x127f
const POSIX_FADV_DONTNEED = 4
const MACHINES: ReadonlySet<string> = new Set(['x64', 'arm64', 'riscv64', 'loong64', 's390x'])

let loaded: { readonly calls: LinuxCalls | undefined } | undefined

/**
 * The calls, or undefined where they cannot be had: not Linux, or `koffi`, an optional dependency, is missing or
 * does not load. Then everything still works, with more reading and writing of zeros. Loaded at the first call.
 */
export function loadLinuxCalls(loader?: KoffiLoader): LinuxCalls | undefined {
  if (loader) return tryBind(loader)
  loaded ??= { calls: tryBind(requireKoffi) }
  return loaded.calls
}

/** The calls an option asks for. */
export function resolveLinuxCalls(options: LinuxCallsOption): LinuxCalls | undefined {
  if (options.linuxCalls === false) return undefined
  return options.linuxCalls ?? loadLinuxCalls()
}

function requireKoffi(): unknown {
  return createRequire(import.meta.url)('koffi')
}

function tryBind(loader: KoffiLoader): LinuxCalls | undefined {
  if (process.platform !== 'linux' || !MACHINES.has(process.arch)) return undefined
  try {
    return bind(loader() as Koffi)
  } catch {
    return undefined
  }
}

type NativeCall = ((...args: unknown[]) => number | bigint) & {
  async(...args: [...unknown[], (error: unknown, result: number | bigint) => void]): void
}

/** The little of koffi that is used here; its own types are not needed to compile against this package. */
interface Koffi {
  load(path: null): { func(definition: string): NativeCall }
  errno(): number
  readonly os: { readonly errno: Readonly<Record<string, number>> }
}

function bind(koffi: Koffi): LinuxCalls {
  const libc = koffi.load(null)
  const lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)')
  const fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)')
  const fcntl = libc.func('int fcntl(int fd, int command, int argument)')
  const fadvise = libc.func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)')
  const ioctl = libc.func('int ioctl(int fd, unsigned long request, _Inout_ uint64_t *argument)')

  const fail = (call: string): Error => {
    const errno = koffi.errno()
    const code = Object.entries(koffi.os.errno).find(([, value]) => value === errno)?.[0] ?? `E${errno}`
    return Object.assign(new Error(`${call}: ${code}`), { code, errno: -errno, syscall: call })
  }
  const later = (name: string, call: NativeCall, ...args: unknown[]): Promise<void> =>
    new Promise((resolve, reject) => {
      call.async(...args, (error: unknown, result: number | bigint) => {
        if (error) reject(error)
        else if (Number(result) < 0) reject(fail(name))
        else resolve()
      })
    })

  return {
    seekData(fd, offset) {
      const at = Number(lseek(fd, offset, SEEK_DATA))
      if (at >= 0) return at
      if (koffi.errno() === koffi.os.errno.ENXIO) return undefined
      throw fail('lseek')
    },
    seekHole(fd, offset) {
      const at = Number(lseek(fd, offset, SEEK_HOLE))
      if (at < 0) throw fail('lseek')
      return at
    },
    punchHole(fd, offset, length) {
      return later('fallocate', fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length)
    },
    blockDeviceBytes(fd) {
      const size = [0]
      if (Number(ioctl(fd, BLKGETSIZE64, size)) < 0) throw fail('ioctl')
      return Number(size[0])
    },
    setPipeBytes(fd, bytes) {
      if (Number(fcntl(fd, F_SETPIPE_SZ, bytes)) < 0) throw fail('fcntl')
    },
    dropCache(fd) {
      fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)
    },
    zeroBlocks(fd, offset, length) {
      return later('ioctl', ioctl, fd, BLKZEROOUT, [offset, length])
    },
  }
}
