import { fileURLToPath } from 'node:url'
import type { NodeRuntime } from './node-runtime.ts'
import type { Peer } from './peer.ts'

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
