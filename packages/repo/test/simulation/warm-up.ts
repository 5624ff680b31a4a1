import { MemorySource, MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'

/**
 * Does everything once. Code that is loaded when it is first needed is there then: within a history, loading it would
 * take a time that nobody has simulated.
 */
export async function warmUp(): Promise<void> {
  const store = new MemoryStore()
  const keyFile = new Uint8Array(32)
  await Repository.init(store, { keyFile })
  await using repo = await Repository.open(store, { keyFile })
  const source = new MemorySource(new Uint8Array(100_000).fill(1))
  const { id } = await repo.backup(source, { workers: 0 })
  await repo.restore(id, new MemoryTarget(), { workers: 0 })
  await repo.check({ readData: true, workers: 0 })
  await repo.repairPacks({ workers: 0 })
  await repo.repairIndex()
  await repo.prune()
}
