import { type PackId, PlatterError } from '@platter/core'
import type { ReadData } from '../api/check-types.ts'

/** Most parts a check can be divided into. */
const MAX_PARTS = 1_000_000
/** Digits of a pack id that decide about its part: 48 bits, an exact number. */
const DECIDING_DIGITS = 12

/**
 * Which packs a check reads, or undefined for none.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function choosePacks(readData: ReadData): ((id: PackId) => boolean) | undefined {
  if (typeof readData === 'boolean') return readData ? () => true : undefined
  if ('fraction' in readData) {
    const { fraction } = readData
    if (!(fraction >= 0 && fraction <= 1)) {
      throw invalid(`The fraction to read must be from 0 to 1, not ${fraction}.`)
    }
    if (fraction === 0) return undefined
    return () => fraction === 1 || Math.random() < fraction
  }
  const { part, of } = readData
  if (!Number.isInteger(of) || of < 1 || of > MAX_PARTS) {
    throw invalid(`A check is divided into 1 to ${MAX_PARTS} parts, not ${of}.`)
  }
  if (!Number.isInteger(part) || part < 1 || part > of) {
    throw invalid(`The part to read must be from 1 to ${of}, not ${part}.`)
  }
  return (id) => partOf(id, of) === part
}

/** The part a pack falls into, from 1. Ids are hashes, so parts are of one size, nearly. */
function partOf(id: PackId, of: number): number {
  return (Number.parseInt(id.slice(0, DECIDING_DIGITS), 16) % of) + 1
}

function invalid(message: string): PlatterError {
  return new PlatterError('ERR_INVALID_ARGUMENT', message)
}
