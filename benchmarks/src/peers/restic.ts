import type { Command } from '../measure/command.ts'
import { installedVersion } from './installed-version.ts'
import { type Peer, REPOSITORY_SCENARIOS, type Site, wholeImage } from './peer.ts'

const NAME = 'disk.img'

/** restic reads the image on its standard input, as it has no notion of a disk. */
export const restic: Peer = {
  id: 'restic',
  title: 'restic',
  settings: 'backup --stdin, repository version 2, compression auto (zstd)',
  readsHoles: true,
  scenarios: REPOSITORY_SCENARIOS,
  version: () => installedVersion('restic', ['version'], /restic (\S+)/),
  input: wholeImage,
  create: (site) => [run(site, ['init', '--repository-version', '2'])],
  backup: (site, image) => ({
    ...run(site, ['backup', '--stdin', '--stdin-filename', NAME]),
    stdin: image.path,
  }),
  readBack: (site) => run(site, ['dump', 'latest', NAME]),
  restore: (site, _image, _archive, target) => ({
    ...run(site, ['dump', 'latest', NAME]),
    stdout: { to: 'file', path: target },
  }),
  check: (site) => run(site, ['check', '--read-data']),
}

function run(site: Site, args: readonly string[]): Command {
  return {
    program: 'restic',
    args: ['--quiet', '--repo', site.repo, ...args],
    env: { HOME: site.home, RESTIC_CACHE_DIR: `${site.home}/cache`, RESTIC_PASSWORD: 'benchmark' },
  }
}
