import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { answer, call, errorOf, noise, writeImage } from './harness.ts'

const MIB = 1024 ** 2
/** A region by default. */
const REGION = 64 * MIB

async function backedUp(folder: string) {
  const repo = join(folder, 'repo')
  const disk = join(folder, 'disk.img')
  const pieces: [number, Buffer][] = [0, 1, 2].map((i) => [i * REGION + MIB, noise(MIB, `piece ${i}`)])
  await writeImage(disk, 3 * REGION, pieces)
  await answer(['init', repo, '--no-encryption'])
  const { snapshot } = await answer<{ snapshot: string }>(['backup', repo, disk, '--name', 'disk'])
  const change = noise(4096, 'change')
  const bytes = await writeImage(disk, 3 * REGION, [...pieces, [REGION + MIB, change]])
  return { repo, disk, snapshot, bytes, changes: join(folder, 'changes') }
}

for (const [form, list] of [
  ['lines', `# offset, length\n\n${REGION + MIB}\t4096\n`],
  [
    'nbdinfo --map',
    JSON.stringify([
      { offset: 0, length: REGION, type: 0, description: 'clean' },
      { offset: REGION, length: 2 * MIB, type: 1, description: 'dirty' },
      { offset: REGION + 2 * MIB, length: 2 * REGION - 2 * MIB, type: 0, description: 'clean' },
    ]),
  ],
] as const)
  test(`only what changed is read: ${form}`, async (t) => {
    const folder = t.testdir()
    const { repo, disk, snapshot, bytes, changes } = await backedUp(folder)
    await writeFile(changes, list)
    const args = ['backup', repo, disk, '--name', 'disk', '--changed-since', snapshot, '--changes', changes]
    const record = await answer(args)
    t.equal(record.bytesReused, 2 * REGION)
    t.match((await call(args)).stdout, /kept +128 MiB/)
    const target = join(folder, 'restored')
    await answer(['restore', repo, 'latest', target])
    t.ok(bytes.equals(await readFile(target)))
  })

test('lists that are none are refused, and nothing is backed up', async (t) => {
  const { repo, disk, snapshot, changes } = await backedUp(t.testdir())
  for (const list of ['1 2 3', 'a b', '-1 5', '[', '[1]', '[{"offset":1}]', '{"offset":1,"length":2}']) {
    await writeFile(changes, list)
    const args = ['backup', repo, disk, '--changed-since', snapshot, '--changes', changes, '--json']
    const outcome = await call(args)
    t.equal(outcome.code, 2, list)
  }
  t.equal((await call(['backup', repo, disk, '--changed-since', snapshot])).code, 2)
  t.equal((await call(['backup', repo, disk, '--changes', changes])).code, 2)
  const missing = ['backup', repo, disk, '--changed-since', snapshot, '--changes', `${changes}.not`, '--json']
  t.match(errorOf(await call(missing)), { message: /ENOENT/ })
  t.equal((await answer<{ snapshots: [] }>(['snapshots', repo])).snapshots.length, 1)
})
