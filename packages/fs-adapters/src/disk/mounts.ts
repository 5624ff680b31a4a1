import { stat } from 'node:fs/promises'
import { deviceNumberOf, partitionsOf } from '../system/block-device.ts'
import { writableMount, writableMountOf } from '../system/device-use.ts'

/** Where a disk is mounted for writing. */
export interface Mounts {
  /** Of the disk itself, or of something made of it; undefined when it is not known to be. */
  readonly disk: string | undefined
  /** Of its partitions, by their numbers. */
  readonly partitions: ReadonlyMap<number, string>
}

/** What of the block device at `path` is mounted for writing, as far as this system knows. */
export async function mountsOf(path: string): Promise<Mounts> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  const partitions = new Map<number, string>()
  if (facts?.isBlockDevice() !== true) return { disk: undefined, partitions }
  const disk = deviceNumberOf(facts.rdev)
  for (const { number, device } of await partitionsOf(disk)) {
    const mount = await writableMount(device)
    if (mount !== undefined) partitions.set(number, mount)
  }
  return { disk: await writableMountOf([disk]), partitions }
}
