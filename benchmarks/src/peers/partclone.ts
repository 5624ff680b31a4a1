import { installedVersion } from './installed-version.ts'
import type { Peer } from './peer.ts'

/** partclone copies the used blocks of a partition, neither compressed nor deduplicated. */
export const partclone: Peer = {
  id: 'partclone',
  title: 'partclone.ext4',
  settings: 'clone of the root partition to a file; no compression, no history',
  readsHoles: false,
  scenarios: ['first'],
  version: () => installedVersion('partclone.ext4', ['--version'], /v(\d\S*)/),
  input: (image) => image.rootPartition,
  create: () => [],
  backup: (site, image, archive) => ({
    program: 'partclone.ext4',
    args: [
      '-c',
      '-q',
      '-L',
      `${site.home}/partclone.log`,
      '-s',
      image.rootPartition!,
      '-o',
      `${site.repo}/${archive}`,
    ],
  }),
}
