import { borgLz4, borgZstd } from './borg.ts'
import { boundOn, checkBoundOn } from './bounds.ts'
import { casync } from './casync.ts'
import { catData, catImage } from './cat.ts'
import { findNode24, inspectNode, type NodeRuntime } from './node-runtime.ts'
import { partclone } from './partclone.ts'
import type { Peer } from './peer.ts'
import { platterOn } from './platter.ts'
import { qemuImg } from './qemu-img.ts'
import { restic } from './restic.ts'
import { zstd } from './zstd.ts'

/** Every peer, in the order of the report. With `node24`, platter is measured on Node 24 too. */
export async function allPeers(node24?: string): Promise<Peer[]> {
  const current = await inspectNode(process.execPath)
  const runtimes: [NodeRuntime, string][] = [[current, '']]
  if (node24 !== undefined) runtimes.push([await findNode24(node24), '-node24'])
  return [
    ...runtimes.flatMap(([node, suffix]) => [
      platterOn(node, `platter${suffix}`, false),
      platterOn(node, `platter-encrypted${suffix}`, true),
    ]),
    restic,
    borgLz4,
    borgZstd,
    casync,
    qemuImg,
    partclone,
    zstd,
    ...runtimes.flatMap(([node, suffix]) => [
      boundOn(node, `bound${suffix}`),
      checkBoundOn(node, `bound-check${suffix}`, false),
      checkBoundOn(node, `bound-check-encrypted${suffix}`, true),
    ]),
    catImage,
    catData,
  ]
}
