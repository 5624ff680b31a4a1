import { RandomStream } from './random-stream.ts'

/** Size of a block of simulated images, and of every chunk they are cut into. */
export const BLOCK_BYTES = 4096
const ZERO = -1
/** Blocks below this number are the same in all images; the others are of one image alone. */
const COMMON_BLOCKS = 48
const MAX_BLOCKS = 40
/** A run of so many zero blocks is a hole. */
const HOLE_BLOCKS = 16

/** An image as the numbers of its blocks. Images that share numbers share chunks. */
export type BlockImage = readonly number[]

const blocks = new Map<number, Uint8Array>()

/** The image's bytes; the last block is cut short, as images of disks seldom end on a border. */
export function bytesOf(image: BlockImage): Uint8Array {
  const bytes = new Uint8Array(image.length * BLOCK_BYTES)
  image.forEach((number, i) => {
    if (number !== ZERO) bytes.set(blockOf(number), i * BLOCK_BYTES)
  })
  return bytes.subarray(0, Math.max(0, bytes.length - 100))
}

function blockOf(number: number): Uint8Array {
  const known = blocks.get(number)
  if (known !== undefined) return known
  const block = new RandomStream(number, 7).bytes(BLOCK_BYTES)
  // Half of it compresses.
  if (number % 2 === 0) block.fill(number, BLOCK_BYTES / 2)
  if (number < COMMON_BLOCKS) blocks.set(number, block)
  return block
}

/** So many new blocks that workers wait for packs to be stored before they go on; without that there is no checkpoint. */
const LONG_BLOCKS = 88

/** An image that is long enough for a checkpoint, and ends like another. @param first number of its first block. */
export function longImage(first: number, end: BlockImage): BlockImage {
  return [...Array.from({ length: LONG_BLOCKS }, (_, i) => first + i), ...end]
}

/** Draws images, most of which share blocks with those before. */
export class ImageMaker {
  readonly #random: RandomStream
  readonly #repeats: number
  #nextOwn = COMMON_BLOCKS

  /** @param repeats that an image is the very same as one before. */
  constructor(random: RandomStream, repeats = 0.3) {
    this.#random = random
    this.#repeats = repeats
  }

  /** @param known images that the new one may be like. */
  make(known: readonly BlockImage[]): BlockImage {
    const random = this.#random
    if (known.length === 0 || random.chance(0.15)) return this.#fresh()
    const image = [...random.pick(known)]
    // The very same image relies on what is there for everything.
    if (random.chance(this.#repeats)) return image
    for (let changes = random.between(1, 4); changes > 0; changes--) this.#change(image)
    return image.slice(0, MAX_BLOCKS)
  }

  /** Half of the time one that is long enough for a checkpoint. */
  makeLong(known: readonly BlockImage[]): BlockImage {
    const end = this.make(known).slice(-MAX_BLOCKS)
    if (this.#random.chance(0.5)) return end
    const first = this.#nextOwn
    this.#nextOwn += LONG_BLOCKS
    return longImage(first, end)
  }

  #fresh(): BlockImage {
    const random = this.#random
    const first = random.below(COMMON_BLOCKS)
    const length = random.chance(0.03) ? 0 : random.between(1, 24)
    return Array.from({ length }, (_, i) => (random.chance(0.7) ? (first + i) % COMMON_BLOCKS : this.#own()))
  }

  #change(image: number[]): void {
    const random = this.#random
    const at = random.below(image.length + 1)
    const kind = random.weighted({ replace: 5, insert: 2, remove: 2, hole: 1 })
    if (kind === 'replace' && at < image.length) image[at] = this.#own()
    else if (kind === 'remove') image.splice(at, random.between(1, 6))
    else if (kind === 'hole') image.splice(at, 0, ...new Array<number>(HOLE_BLOCKS + 2).fill(ZERO))
    else image.splice(at, 0, random.chance(0.5) ? random.below(COMMON_BLOCKS) : this.#own())
  }

  #own(): number {
    return this.#nextOwn++
  }
}
