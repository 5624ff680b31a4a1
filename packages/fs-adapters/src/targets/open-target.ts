import type { Stats } from 'node:fs'
import { constants, fstatSync, open as openCallback } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { promisify } from 'node:util'
import type { BlockTarget } from '@platter/core'
import { PlatterError, systemCodeOf } from '@platter/core'
import { BlockDeviceTarget } from './block-device-target.ts'
import { FileTarget, type FileTargetOptions } from './file-target.ts'
import { DescriptorWriter, NodeWriter } from './piece-writer.ts'
import { StreamTarget } from './stream-target.ts'
import { targetOpenError } from './target-errors.ts'

/** Options of {@link openTarget}. */
export interface OpenTargetOptions extends FileTargetOptions {
  /** Write even to a block device that is mounted or otherwise in use. Default false. */
  readonly force?: boolean
  /** Gives up waiting for a reader of a FIFO. */
  readonly signal?: AbortSignal
}

const STANDARD_OUTPUT = 1
/** How often a FIFO is asked for a reader, in ms. */
const FIFO_POLL_MS = 50

/**
 * Opens `path` as a place to restore to: a regular file, which is created if need be, a block device, a FIFO, or
 * /dev/null; '-' is standard output.
 *
 * @example
 * await using target = await openTarget('restored.raw')
 *
 * @throws ERR_TARGET_EXISTS for a file with content, unless `overwrite` is set.
 * @throws ERR_TARGET_MOUNTED for a block device in use, unless `force` is set.
 * @throws ERR_TARGET_NOT_FOUND, ERR_TARGET_ACCESS, ERR_TARGET_FULL, ERR_TARGET_WRITE
 * @throws ERR_TARGET_UNSUPPORTED for a folder, a socket, another character device, or a terminal.
 */
export async function openTarget(path: string, options: OpenTargetOptions = {}): Promise<BlockTarget> {
  if (path === '-') return openStandardOutput()
  const facts = await statIfPresent(path)
  if (facts === undefined || facts.isFile()) return await FileTarget.open(path, options)
  if (facts.isBlockDevice()) return await BlockDeviceTarget.open(path, options)
  if (facts.isFIFO()) return await openFifo(path, options)
  if (facts.isCharacterDevice() && (await isNullDevice(facts))) return await openNullDevice(path)
  if (facts.isDirectory()) throw unsupported(path, 'a folder; name a file in it')
  throw unsupported(path, 'neither a file nor a block device')
}

async function statIfPresent(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined
    throw targetOpenError(error, path)
  }
}

function openStandardOutput(): StreamTarget {
  if (isatty(STANDARD_OUTPUT)) throw unsupported('-', 'a terminal; pipe it into a program or a file')
  const facts = fstatSync(STANDARD_OUTPUT)
  // A pipe is polled by Node; a thread that hangs in a write would keep the process from exiting.
  const isPipe = facts.isFIFO() || facts.isSocket()
  const pieces = isPipe
    ? new NodeWriter(process.stdout, { keepOpen: true })
    : new DescriptorWriter(STANDARD_OUTPUT)
  return new StreamTarget(pieces, { label: '-' })
}

async function openFifo(path: string, options: OpenTargetOptions): Promise<StreamTarget> {
  const fd = await openFifoDescriptor(path, options.signal)
  return new StreamTarget(new Socket({ fd, readable: false, writable: true }), { label: path })
}

/** Waits for a reader without hanging in a thread: opened with O_NONBLOCK, a FIFO without one is ENXIO. */
async function openFifoDescriptor(path: string, signal: AbortSignal | undefined): Promise<number> {
  for (;;) {
    try {
      return await promisify(openCallback)(path, constants.O_WRONLY | constants.O_NONBLOCK)
    } catch (error) {
      if (systemCodeOf(error) !== 'ENXIO') throw targetOpenError(error, path)
    }
    await delay(FIFO_POLL_MS, undefined, signal === undefined ? {} : { signal })
  }
}

async function isNullDevice(facts: Stats): Promise<boolean> {
  return await stat('/dev/null').then(
    (known) => known.rdev === facts.rdev,
    () => false,
  )
}

async function openNullDevice(path: string): Promise<StreamTarget> {
  const handle = await open(path, 'w').catch((error: unknown) => {
    throw targetOpenError(error, path)
  })
  return new StreamTarget(handle.createWriteStream(), { label: path })
}

function unsupported(path: string, what: string): PlatterError {
  return new PlatterError('ERR_TARGET_UNSUPPORTED', `'${path}' is ${what}; no image can be written to it.`, {
    path,
  })
}
