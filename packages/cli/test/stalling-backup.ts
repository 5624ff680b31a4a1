// Backs an image up and stalls on the way, until it is killed: node stalling-backup.js REPO IMAGE CHECKPOINT_BYTES STALL_AT
import type { BlockSource } from '@platter/core'
import { LocalStore, openSource } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'

const [folder = '', image = '', checkpointBytes = '', stallAt = ''] = process.argv.slice(2)
const repo = await Repository.open(new LocalStore(folder))
const inner = await openSource(image)
const source: BlockSource = {
  info: inner.info,
  sequential: false,
  extents: (options) => inner.extents(options),
  async read(...args) {
    // Keeps the process alive, as a disk does that does not answer.
    if (args[0] >= Number(stallAt)) await new Promise((resolve) => setTimeout(resolve, 10 ** 9))
    return await inner.read(...args)
  },
  assertUnchanged: async () => {},
  close: async () => {},
  [Symbol.asyncDispose]: async () => {},
}
await repo.backup(source, {
  name: 'large',
  host: 'here',
  workers: 0,
  checkpointBytes: Number(checkpointBytes),
})
