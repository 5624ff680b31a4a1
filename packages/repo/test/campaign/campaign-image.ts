import { noise } from '../adversity.ts'
import { Dice } from './dice.ts'

/** What the repositories of campaigns cut images into. */
export const CHUNK_BYTES: number = 16 * 1024
const SLOTS = 24
const TAIL_BYTES = 5001
/** Chunks that any image may contain: few, so that what one snapshot leaves to a prune, the next backup needs again. */
const POOL_CHUNKS = 24

/** Names an image; the whole of it follows from this. */
export function imageLabel(seed: string, name: string, version: string): string {
  return [seed, name, version].join('|')
}

/**
 * The image of a label, about 400 KB. Images of one name share some chunks, all images others; some chunks are of this
 * image only, and some are holes.
 */
export function campaignImage(label: string): Uint8Array<ArrayBuffer> {
  const [seed, name] = label.split('|')
  const dice = new Dice(label)
  const image = new Uint8Array(SLOTS * CHUNK_BYTES + TAIL_BYTES)
  for (let slot = 0; slot < SLOTS; slot++) {
    const kind = dice.fraction()
    const number = dice.below(POOL_CHUNKS)
    if (kind < 0.35) image.set(chunk(`${seed}|${name}|base ${slot}`), slot * CHUNK_BYTES)
    else if (kind < 0.65) image.set(chunk(`${seed}|pool ${number}`), slot * CHUNK_BYTES)
    else if (kind < 0.95) image.set(noise(`${label}|${slot}`, CHUNK_BYTES), slot * CHUNK_BYTES)
  }
  image.set(noise(label, TAIL_BYTES), SLOTS * CHUNK_BYTES)
  return image
}

const chunks = new Map<string, Uint8Array>()

function chunk(seed: string): Uint8Array {
  const known = chunks.get(seed)
  if (known !== undefined) return known
  const made = noise(seed, CHUNK_BYTES)
  chunks.set(seed, made)
  return made
}
