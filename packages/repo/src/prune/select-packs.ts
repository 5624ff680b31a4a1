import type { PackId } from '@platter/core'
import { MAX_CONDEMNED_PACKS } from '../format/limits.ts'
import type { PackTable } from './pack-table.ts'
import type { Usage } from './usage.ts'

/** So many packs that are far too small are worth being merged. */
const MIN_SMALL_PACKS = 32
/** A pack below this share of its nominal size is small. */
const SMALL_SHARE = 0.25
/** A pack of which more than this is needed is not worth being emptied, unless it is small. */
const MAX_NEEDED_SHARE = 0.98

/** What decides which packs are condemned. */
export interface SelectionRules {
  readonly maxUnusedFraction: number
  readonly maxRepackBytes: number
  /** Nominal size of a pack. */
  readonly packBytes: number
  /** Length of the file of a pack with so many bytes of blobs in so many entries. */
  readonly fileBytes: (blobBytes: number, entries: number) => number
  /** Whether the owner of a pack that no index segment lists is certainly gone. */
  readonly isOrphan: (id: PackId) => boolean
}

/** Packs of a table, by number, that are to go. */
export interface Selection {
  readonly unreferenced: readonly number[]
  readonly unlisted: readonly number[]
  readonly repack: readonly number[]
  readonly bytesBefore: number
  readonly bytesRemoved: number
  readonly bytesRepacked: number
  readonly unusedFractionBefore: number
  readonly unusedFractionAfter: number
}

/**
 * Decides which packs go: all that nothing needs, and of those needed in part the worst first, until what is left
 * unused is within the bound or the work is. Pure.
 */
export function selectPacks(table: PackTable, usage: Usage, rules: SelectionRules): Selection {
  const { packs } = table
  const neededBytes = (i: number): number => neededIn(usage, i, rules)
  const unreferenced: number[] = []
  const unlisted: number[] = []
  const partly: number[] = []
  let bytesBefore = 0
  let unusedBefore = 0
  packs.forEach(({ id, fileBytes, present, quarantined, standing }, i) => {
    if (!present) return
    bytesBefore += fileBytes
    // The evidence of damage, and perhaps worth another attempt to save something: people decide about that.
    if (quarantined) return
    // What a session that may still commit has stored counts as needed.
    if (standing === 'open') return
    if (standing === undefined) {
      if (!rules.isOrphan(id)) return
      unlisted.push(i)
    } else if (usage.usedEntries[i] === 0) {
      unreferenced.push(i)
    } else {
      partly.push(i)
    }
    unusedBefore += fileBytes - neededBytes(i)
  })

  const room = (): number => MAX_CONDEMNED_PACKS - unreferenced.length - unlisted.length - repack.length
  const repack: number[] = []
  unreferenced.splice(MAX_CONDEMNED_PACKS)
  unlisted.splice(MAX_CONDEMNED_PACKS - unreferenced.length)
  let bytesRemoved = [...unreferenced, ...unlisted].reduce((sum, i) => sum + packs[i]!.fileBytes, 0)
  let bytesRepacked = 0
  let unused = unusedBefore - bytesRemoved
  const kept = (): number => bytesBefore - bytesRemoved + bytesRepacked
  const take = (i: number): boolean => {
    const { fileBytes } = packs[i]!
    const needed = neededBytes(i)
    if (room() <= 0 || bytesRepacked + needed > rules.maxRepackBytes) return false
    repack.push(i)
    bytesRemoved += fileBytes
    bytesRepacked += needed
    unused -= fileBytes - needed
    return true
  }

  const unusedShare = (i: number): number => 1 - neededBytes(i) / packs[i]!.fileBytes
  partly.sort((a, b) => unusedShare(b) - unusedShare(a))
  const left = partly.filter((i) => {
    const enough = unused <= rules.maxUnusedFraction * kept()
    const worth = isWorthMoving(packs[i]!.fileBytes, usage.usedBytes[i]!, rules.packBytes)
    return enough || !worth || unusedShare(i) <= 0 || !take(i)
  })
  const small = left.filter((i) => isSmall(packs[i]!.fileBytes, rules.packBytes))
  if (small.length >= MIN_SMALL_PACKS) for (const i of small) take(i)

  return {
    unreferenced,
    unlisted,
    repack,
    bytesBefore,
    bytesRemoved,
    bytesRepacked,
    unusedFractionBefore: share(unusedBefore, bytesBefore),
    unusedFractionAfter: share(unused, kept()),
  }
}

/** Whether it pays to store what is needed of a pack again, so that the pack can go. */
export function isWorthMoving(fileBytes: number, usedBytes: number, packBytes: number): boolean {
  return isSmall(fileBytes, packBytes) || usedBytes <= MAX_NEEDED_SHARE * fileBytes
}

function isSmall(fileBytes: number, packBytes: number): boolean {
  return fileBytes < SMALL_SHARE * packBytes
}

/** Bytes of a pack that are needed, with what the pack itself takes. */
function neededIn(usage: Usage, pack: number, { fileBytes }: SelectionRules): number {
  const entries = usage.usedEntries[pack]!
  return entries === 0 ? 0 : fileBytes(usage.usedBytes[pack]!, entries)
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.max(0, part) / whole
}
