import type { Command } from '../measure/command.ts'
import { installedVersion } from './installed-version.ts'
import { type Peer, type Site, wholeImage } from './peer.ts'

/** casync cuts an image into a store of chunks and writes an index for each version. */
export const casync: Peer = {
  id: 'casync',
  title: 'casync',
  settings: 'make of a blob index, default chunk size and zstd',
  readsHoles: true,
  scenarios: ['first', 'unchanged', 'restore', 'changed', 'relaid'],
  version: () => installedVersion('casync', ['--version'], /casync (\S+)/),
  input: wholeImage,
  create: () => [],
  backup: (site, image, archive) => run(site, ['make', index(site, archive), image.path]),
  restore: (site, _image, archive, target) => run(site, ['extract', index(site, archive), target]),
}

function index(site: Site, archive: string): string {
  return `${site.repo}/${archive}.caibx`
}

function run(site: Site, args: readonly string[]): Command {
  return {
    program: 'casync',
    args: [`--store=${site.repo}/store`, ...args],
    env: { HOME: site.home, XDG_CACHE_HOME: `${site.home}/cache` },
  }
}
