// How much a restore with onlyDifferent writes and how fast it reads, onto a target of which 1 % of the blocks differ.
// node packages/repo/scripts/bench-only-different.mjs [MIB] [FOLDER]

import { createHash, randomFillSync } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileSource, FileTarget, LocalStore } from '@platter/fs-adapters'
import { Repository } from '@platter/repo'

const MIB = 1024 * 1024
const BLOCK = 4096
const mebibytes = Number(process.argv[2] ?? 1024)
const folder = mkdtempSync(join(process.argv[3] ?? tmpdir(), 'platter-bench-'))
const path = join(folder, 'disk.img')

function digest() {
  const hash = createHash('sha256')
  eachPiece((piece) => hash.update(piece))
  return hash.digest('hex')
}

function eachPiece(take) {
  const fd = openSync(path, 'r')
  const piece = new Uint8Array(MIB)
  for (let at = 0; readSync(fd, piece, 0, MIB, at) > 0; at += MIB) take(piece)
  closeSync(fd)
}

try {
  const piece = new Uint8Array(MIB)
  const fd = openSync(path, 'w')
  for (let i = 0; i < mebibytes; i++) writeSync(fd, randomFillSync(piece))
  closeSync(fd)
  const store = await LocalStore.create(join(folder, 'repo'))
  await Repository.init(store, { crypto: 'none' })
  const repo = await Repository.open(store, { codec: 'none' })
  const source = await FileSource.open(path)
  await repo.backup(source, { name: 'bench' })
  await source.close()
  const before = digest()
  const blocks = (mebibytes * MIB) / BLOCK
  const differing = new Set()
  while (differing.size < blocks / 100) differing.add(Math.floor(Math.random() * blocks))
  const changed = openSync(path, 'r+')
  for (const block of differing)
    writeSync(changed, randomFillSync(new Uint8Array(BLOCK)), 0, BLOCK, block * BLOCK)
  closeSync(changed)
  const started = performance.now()
  eachPiece(() => {})
  const readSeconds = (performance.now() - started) / 1000
  const run = async (what) => {
    const target = await FileTarget.open(path, { overwrite: true })
    const stats = await repo.restore('latest', target, { onlyDifferent: true })
    await target.close()
    const ratio = stats.bytesWritten / (differing.size * BLOCK)
    const rate = stats.bytesTotal / MIB / stats.seconds
    console.log(
      `${what}: ${stats.seconds.toFixed(2)} s, ${rate.toFixed(0)} MiB/s, wrote ${ratio.toFixed(3)} x what differed`,
    )
  }
  console.log(`reading the file, one thread: ${(mebibytes / readSeconds).toFixed(0)} MiB/s`)
  await run('1 % differs, at random')
  await run('nothing differs')
  await repo.close()
  if (digest() !== before) throw new Error('The target is not the image.')
} finally {
  rmSync(folder, { recursive: true, force: true })
}
