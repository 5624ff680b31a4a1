// A process that uses a repository, aborts much of it, and then has nothing more to do.
import { MemorySource, MemoryTarget } from '@platter/fs-adapters'
import { newRepository, noise } from './adversity.ts'

const repo = await newRepository()
for (const workers of [0, 2]) {
  await repo.backup(new MemorySource(noise('first', 1_000_000)), { name: 'disk', workers })
  for (const ms of [0, 5, 40]) {
    const timed = (): { workers: number; signal: AbortSignal } => ({
      workers,
      signal: AbortSignal.timeout(ms),
    })
    const image = noise(`${workers} ${ms}`, 3_000_000)
    await repo.backup(new MemorySource(image), { name: 'disk', ...timed() }).catch(() => {})
    await repo.restore('latest', new MemoryTarget(), timed()).catch(() => {})
    await repo.check({ readData: true, ...timed() }).catch(() => {})
  }
}
console.log('done')
