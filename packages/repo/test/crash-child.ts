// Backs up one image after the other until it is killed: node crash-child.js FOLDER ROUND WORKERS
import { LocalStore, MemorySource } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { crashImage } from './crash-image.ts'

const [folder = '', round = '', workers = ''] = process.argv.slice(2)
const repo = await Repository.open(new LocalStore(folder))
process.stdout.write('ready\n')
for (let i = 0; ; i++) {
  const name = `${round}-${i}`
  await repo.backup(new MemorySource(crashImage(name)), { name, workers: Number(workers) })
}
