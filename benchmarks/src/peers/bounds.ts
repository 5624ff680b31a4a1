import { fileURLToPath } from 'node:url'
import type { NodeRuntime } from './node-runtime.ts'
import type { Peer } from './peer.ts'
import { platterOn } from './platter.ts'

/**
 * What no program with the same codec can undercut: compressing the data of A, or decompressing and hashing it,
 * on all cores, with all else left out of the time.
 */
export function boundOn(node: NodeRuntime, id: string): Peer {
  const run = (module: string, path: string) => ({
    program: node.path,
    args: [fileURLToPath(new URL(`../bounds/${module}.js`, import.meta.url)), path, node.codec],
    stdout: { to: 'caller' } as const,
    ownClock: true,
  })
  return {
    id,
    title: `bound: codec alone (Node ${node.major}, ${node.codec})`,
    settings: `${node.codec} on 256 KiB chunks of the non-zero 4 KiB blocks of A; read back: and BLAKE3`,
    readsHoles: false,
    scenarios: ['first', 'readback'],
    version: async () => node.version,
    input: (image) => image.packed,
    create: () => [],
    backup: (_site, image) => run('compress-only', image.packed!),
    readBack: (_site, image) => run('decompress-only', image.packed!),
  }
}

/**
 * What no check can undercut: decompressing and hashing every blob of the very packs that platter made of A, on all
 * cores, and decrypting them before, if that is asked for. Reading them is not counted, nor is anything else that a
 * check looks at.
 */
export function checkBoundOn(node: NodeRuntime, id: string, decrypts: boolean): Peer {
  const platter = platterOn(node, 'platter', false)
  const steps = decrypts ? 'AES-256-GCM, codec and BLAKE3' : 'codec and BLAKE3'
  const module = decrypts ? 'decrypt-and-verify' : 'verify-only'
  return {
    id,
    title: `bound of check: ${steps} alone (Node ${node.major}, ${node.codec})`,
    settings: `every blob of the packs of A, ${node.codec}${decrypts ? ', decrypted first' : ''}`,
    readsHoles: false,
    scenarios: ['check'],
    version: platter.version,
    input: platter.input,
    create: (site, image) => [...platter.create(site, image), platter.backup(site, image, 'a1')],
    backup: platter.backup,
    check: (site) => ({
      program: node.path,
      args: [fileURLToPath(new URL(`../bounds/${module}.js`, import.meta.url)), site.repo],
      stdout: { to: 'caller' },
      ownClock: true,
    }),
  }
}
