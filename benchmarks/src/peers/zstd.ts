import { installedVersion } from './installed-version.ts'
import type { Peer } from './peer.ts'

/** Compresses the data as one stream on all cores: what a pipeline of standard tools could do. */
export const zstd: Peer = {
  id: 'zstd',
  title: 'zstd -1 (data alone)',
  settings: 'zstd -1 -T0 of the non-zero 4 KiB blocks of A to /dev/null; no history',
  readsHoles: true,
  scenarios: ['first'],
  version: () => installedVersion('zstd', ['--version'], /v(\d\S*\d)/),
  input: (image) => image.packed,
  create: () => [],
  backup: (_site, image) => ({ program: 'zstd', args: ['-1', '-T0', '--quiet', '--stdout', image.packed!] }),
}
