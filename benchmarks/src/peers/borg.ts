import type { Command } from '../measure/command.ts'
import { installedVersion } from './installed-version.ts'
import { type Peer, REPOSITORY_SCENARIOS, type Site, wholeImage } from './peer.ts'

/** borg reads the image on its standard input; its chunker and cipher are the default ones. */
function borgWith(id: string, compression: string): Peer {
  return {
    id,
    title: `borg (${compression})`,
    settings: `create from standard input, repokey-blake2, buzhash,19,23,21,4095, compression ${compression}`,
    readsHoles: true,
    scenarios: REPOSITORY_SCENARIOS,
    version: () => installedVersion('borg', ['--version'], /borg (\S+)/),
    input: wholeImage,
    create: (site) => [run(site, ['init', '--encryption', 'repokey-blake2', site.repo])],
    backup: (site, image, archive) => ({
      ...run(site, ['create', '--compression', compression, `${site.repo}::${archive}`, '-']),
      stdin: image.path,
    }),
    readBack: (site, _image, archive) => run(site, ['extract', '--stdout', `${site.repo}::${archive}`]),
    restore: (site, _image, archive, target) => ({
      ...run(site, ['extract', '--stdout', `${site.repo}::${archive}`]),
      stdout: { to: 'file', path: target },
    }),
    check: (site) => run(site, ['check', '--verify-data', site.repo]),
  }
}

export const borgLz4: Peer = borgWith('borg', 'lz4')
export const borgZstd: Peer = borgWith('borg-zstd', 'zstd,1')

function run(site: Site, args: readonly string[]): Command {
  return {
    program: 'borg',
    args,
    env: {
      HOME: site.home,
      BORG_BASE_DIR: site.home,
      BORG_PASSPHRASE: 'benchmark',
      BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
    },
  }
}
