import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import type { ByteRange } from '@platter/repo'
import { UsageError } from '../command-line/usage-error.ts'

/** JSON is read as a whole: this is room for millions of ranges. */
const MAX_JSON_BYTES = 256 * 1024 * 1024

/**
 * Ranges that a file says have changed. Either the JSON of `nbdinfo --map=qemu:dirty-bitmap:NAME --json`, in which
 * ranges of type 0 are unchanged; or text, with offset and length in bytes on each line.
 *
 * @throws {UsageError} when it is neither, or cannot be read.
 */
export async function* readChangeList(path: string): AsyncGenerator<ByteRange> {
  try {
    if ((await firstCharacter(path)) === '[') yield* jsonRanges(await readWhole(path), path)
    else yield* textRanges(path)
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`The file of changes ${path} cannot be read: ${(error as Error).message}.`)
  }
}

async function firstCharacter(path: string): Promise<string | undefined> {
  for await (const piece of createReadStream(path, { encoding: 'utf8', end: 4095 }))
    return (piece as string).trimStart()[0]
  return undefined
}

async function readWhole(path: string): Promise<string> {
  await using file = await open(path)
  if ((await file.stat()).size > MAX_JSON_BYTES)
    throw new UsageError(`The file of changes ${path} is too long for JSON; write a line for each range.`)
  return await file.readFile('utf8')
}

function* jsonRanges(text: string, path: string): Generator<ByteRange> {
  let entries: unknown
  try {
    entries = JSON.parse(text)
  } catch (error) {
    throw new UsageError(`The file of changes ${path} is no JSON: ${(error as Error).message}.`)
  }
  for (const [i, entry] of (entries as unknown[]).entries()) {
    const { offset, length, type = 1 } = (entry ?? {}) as Record<string, unknown>
    if (!isCount(offset) || !isCount(length) || !isCount(type))
      throw new UsageError(`In ${path}, entry ${i + 1} has no offset and length in bytes.`)
    if (type !== 0) yield { offset, length }
  }
}

async function* textRanges(path: string): AsyncGenerator<ByteRange> {
  let number = 0
  for await (const line of createInterface({ input: createReadStream(path, { encoding: 'utf8' }) })) {
    number++
    const words = line.trim().split(/\s+/)
    if (words[0] === '' || words[0]!.startsWith('#')) continue
    const [offset, length] = words.map(Number)
    if (words.length !== 2 || !isCount(offset) || !isCount(length))
      throw new UsageError(`In ${path}, line ${number} is not an offset and a length in bytes.`)
    yield { offset, length }
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
