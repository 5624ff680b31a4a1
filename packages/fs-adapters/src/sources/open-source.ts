import { constants, fstatSync, open as openCallback } from 'node:fs'
import { stat } from 'node:fs/promises'
import { isatty } from 'node:tty'
import { promisify } from 'node:util'
import type { BlockSource } from '@platter/core'
import { PlatterError } from '@platter/core'
import { type LinuxCallsOption, resolveLinuxCalls } from '../system/linux-calls.ts'
import { BlockDeviceSource } from './block-device-source.ts'
import { FileSource } from './file-source.ts'
import { DescriptorPieces } from './piece-reader.ts'
import { PipePieces } from './pipe-pieces.ts'
import { sourceOpenError } from './source-errors.ts'
import type { SourceWarningOption } from './source-warning.ts'
import { StreamSource } from './stream-source.ts'

/** Options of {@link openSource}. */
export interface OpenSourceOptions extends LinuxCallsOption, SourceWarningOption {}

const STANDARD_INPUT = 0

/**
 * Opens what stands at `path` as an image: a regular file, a block device, or a FIFO; '-' is standard input.
 *
 * @example
 * await using disk = await openSource('/dev/sda')
 *
 * @throws ERR_SOURCE_NOT_FOUND, ERR_SOURCE_ACCESS, ERR_SOURCE_READ, ERR_SOURCE_IS_DIRECTORY
 * @throws ERR_SOURCE_UNSUPPORTED for a socket, a character device (which has no end), or a terminal.
 */
export async function openSource(path: string, options: OpenSourceOptions = {}): Promise<BlockSource> {
  if (path === '-') return openStandardInput(options)
  const facts = await stat(path).catch((error: unknown) => {
    throw sourceOpenError(error, path)
  })
  if (facts.isBlockDevice()) return await BlockDeviceSource.open(path, options)
  if (facts.isFIFO()) return await openFifo(path, options)
  if (facts.isCharacterDevice()) throw unsupported(path, 'a character device, which has no end')
  if (facts.isSocket()) throw unsupported(path, 'a socket')
  return await FileSource.open(path, options)
}

function openStandardInput(options: OpenSourceOptions): StreamSource {
  return new StreamSource(standardInputPieces(options), { label: '-' })
}

function standardInputPieces(options: OpenSourceOptions): DescriptorPieces | PipePieces {
  if (isatty(STANDARD_INPUT)) throw unsupported('-', 'a terminal; pipe the image into it')
  const facts = fstatSync(STANDARD_INPUT)
  if (facts.isFIFO() || facts.isSocket()) {
    return new PipePieces(STANDARD_INPUT, resolveLinuxCalls(options))
  }
  return new DescriptorPieces(STANDARD_INPUT)
}

async function openFifo(path: string, options: OpenSourceOptions): Promise<StreamSource> {
  try {
    // O_NONBLOCK: else opening waits in a thread for a writer, and could not be given up.
    const fd = await promisify(openCallback)(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const pieces = new PipePieces(fd, resolveLinuxCalls(options))
    return new StreamSource(pieces, { label: path })
  } catch (error) {
    throw sourceOpenError(error, path)
  }
}

function unsupported(path: string, what: string): PlatterError {
  return new PlatterError(
    'ERR_SOURCE_UNSUPPORTED',
    `'${path}' is ${what}, so it cannot be read as an image.`,
    {
      path,
    },
  )
}
