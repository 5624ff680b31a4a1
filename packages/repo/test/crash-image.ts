import { noise } from './adversity.ts'

const COMMON = noise('common', 200_000)

/** The image that a backup of this name is of: some of it is in every image, some in this one only. */
export function crashImage(name: string): Uint8Array {
  return new Uint8Array(
    Buffer.concat([COMMON, noise(name, 250_000), new Uint8Array(200_000), noise(name, 50_001)]),
  )
}
