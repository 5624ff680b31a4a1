import type { Command } from '../measure/command.ts'
import { installedVersion } from './installed-version.ts'
import { type Peer, type Site, wholeImage } from './peer.ts'

/** qemu-img writes each version whole, as a compressed qcow2 image: fast, but without a history. */
export const qemuImg: Peer = {
  id: 'qemu-img',
  title: 'qemu-img (qcow2, zstd)',
  settings: 'convert -c to qcow2, compression_type=zstd, default coroutines; every version whole',
  readsHoles: false,
  scenarios: ['first', 'readback', 'restore', 'changed', 'relaid', 'sparse'],
  version: () => installedVersion('qemu-img', ['--version'], /version (\S+)/),
  input: wholeImage,
  create: () => [],
  backup: (site, image, archive) =>
    convert(
      ['-f', 'raw', '-O', 'qcow2', '-c', '-o', 'compression_type=zstd'],
      image.path,
      qcow2(site, archive),
    ),
  readBack: (site, image, archive) =>
    convert(['-n', '--target-image-opts'], qcow2(site, archive), `driver=null-co,size=${image.sizeBytes}`),
  restore: (site, _image, archive, target) => convert(['-O', 'raw'], qcow2(site, archive), target),
}

function qcow2(site: Site, archive: string): string {
  return `${site.repo}/${archive}.qcow2`
}

function convert(options: readonly string[], from: string, to: string): Command {
  return { program: 'qemu-img', args: ['convert', ...options, from, to] }
}
