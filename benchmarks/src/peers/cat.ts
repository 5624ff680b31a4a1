import { installedVersion } from './installed-version.ts'
import { type Image, type Peer, wholeImage } from './peer.ts'

function catOf(
  id: string,
  title: string,
  settings: string,
  input: (image: Image) => string | undefined,
): Peer {
  return {
    id,
    title,
    settings,
    readsHoles: true,
    scenarios: ['first', 'unchanged'],
    version: () => installedVersion('cat', ['--version'], /(\d+\.\d+\S*)/),
    input,
    create: () => [],
    backup: (_site, image) => ({ program: 'cat', args: [input(image)!] }),
  }
}

/** Reads the image, and nothing else. */
export const catImage: Peer = catOf('cat', 'cat (image)', 'image to /dev/null', wholeImage)

/** Reads what a program reads that knows where the holes are. */
export const catData: Peer = catOf(
  'cat-data',
  'cat (data alone)',
  'a file of the non-zero 4 KiB blocks of A to /dev/null',
  (image) => image.packed,
)
