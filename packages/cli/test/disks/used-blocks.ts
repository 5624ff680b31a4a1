// How much a backup reads of a disk whose free space is full of old data, compared with what is in use on it.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { BlockSource, Extent } from '@platter/core'
import { DiskSource, LocalStore, openSource } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'
import { MIB, run, writeNoise } from './made-disk.ts'

export interface UsedBlocksFigures {
  readonly diskBytes: number
  /** By the filesystem, and all that is no partition. */
  readonly bytesInUse: number
  /** Everything that was asked of the source, from the first look at the table to the last check. */
  readonly bytesRead: number
  readonly bytesUnused: number
  readonly ratio: number
}

/** Makes a disk of noise with an ext4 that holds files of `fileBytes` in all, and backs it up. */
export async function measureUsedBlocks(
  folder: string,
  diskBytes: number,
  fileBytes: number,
): Promise<UsedBlocksFigures> {
  const path = join(folder, 'disk.img')
  const files = join(folder, 'files')
  writeNoise(path, diskBytes)
  const pieceBytes = Math.min(256 * MIB, Math.ceil(fileBytes / 4))
  mkdirSync(files)
  for (let i = 0, left = fileBytes; left > 0; i++, left -= pieceBytes)
    writeNoise(join(files, `${i}`), Math.min(left, pieceBytes), `file ${i}`)
  run(
    'sfdisk',
    ['--quiet', '--no-reread', '--no-tell-kernel', '--wipe', 'never', path],
    'label: gpt\nstart=1MiB\n',
  )
  const partitionBytes = diskBytes - 2 * MIB
  const extended = `offset=${MIB},nodiscard,lazy_itable_init=0,lazy_journal_init=0`
  const size = `${Math.floor(partitionBytes / 4096)}`
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096', '-E', extended, '-d', files, path, size])
  rmSync(files, { recursive: true })
  return await backUp(path, join(folder, 'repository'))
}

async function backUp(path: string, folder: string): Promise<UsedBlocksFigures> {
  await using file = await openSource(path)
  const source = new CountingSource(file)
  await using disk = await DiskSource.open(source)
  const store = await LocalStore.create(folder)
  await Repository.init(store, { crypto: 'none' })
  await using repository = await Repository.open(store)
  const { stats } = await repository.backup(disk, { name: 'disk' })
  const diskBytes = file.info.sizeBytes!
  const [volume] = disk.survey.volumes
  const bytesInUse = diskBytes - volume!.sizeBytes + volume!.map.bytes.used
  const { bytesRead } = source
  const { bytesUnused = 0 } = stats
  return { diskBytes, bytesInUse, bytesRead, bytesUnused, ratio: bytesRead / bytesInUse }
}

/** Counts what is read. It has no descriptor, so workers cannot read past it. */
class CountingSource implements BlockSource {
  readonly info: BlockSource['info']
  readonly sequential = false
  readonly #source: BlockSource
  bytesRead = 0

  constructor(source: BlockSource) {
    this.#source = source
    this.info = source.info
  }

  /** As a device, which tells no holes: mke2fs makes some in a file. */
  async *extents(): AsyncIterable<Extent> {
    yield { offset: 0, length: this.info.sizeBytes!, kind: 'data' }
  }

  async read(...call: Parameters<BlockSource['read']>): Promise<number> {
    const bytes = await this.#source.read(...call)
    this.bytesRead += bytes
    return bytes
  }

  async assertUnchanged(): Promise<void> {
    await this.#source.assertUnchanged()
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
