// The pin from the command line.
import { cp, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { type CallOptions, call, errorOf, noise } from './harness.ts'

async function codeOf(argv: string[], options: CallOptions = {}): Promise<string> {
  const outcome = await call([...argv, '--json'], options)
  return outcome.code === 0 ? 'success' : errorOf(outcome).code
}

test('a repository that was set back is found out, until that is accepted', {
  timeout: 120_000,
}, async (t) => {
  const folder = t.testdir()
  const [repo, image, key, pin] = ['repo', 'image', 'key', 'pin'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ]
  await writeFile(image, noise(100_000, 'image'))
  await writeFile(key, noise(32, 'key'), { mode: 0o600 })
  const keys = ['--key-file', key]
  const pinned = [...keys, '--pin-file', pin]
  t.equal(await codeOf(['init', repo, ...pinned]), 'success')
  t.ok((await readdir(folder)).includes('pin'), 'made by init')
  await cp(repo, join(folder, 'earlier'), { recursive: true })
  t.equal(await codeOf(['backup', repo, image, ...pinned]), 'success')
  t.equal(await codeOf(['snapshots', repo, ...pinned]), 'success')

  await rm(repo, { recursive: true })
  await cp(join(folder, 'earlier'), repo, { recursive: true })
  t.equal(await codeOf(['snapshots', repo, ...keys]), 'success', 'nobody would know without')
  for (const words of [
    ['snapshots', repo],
    ['backup', repo, image],
    ['prune', repo],
    ['key', 'list', repo],
  ])
    t.equal(await codeOf([...words, ...pinned]), 'ERR_ROLLBACK', words[0]!)
  t.equal(await codeOf(['snapshots', repo, ...keys], { env: { PLATTER_PIN_FILE: pin } }), 'ERR_ROLLBACK')
  const { stderr } = await call(['snapshots', repo, ...pinned])
  t.match(stderr, /the snapshot snapshots\/[0-9a-f]{32}, seen since .*, is missing/)
  t.match(stderr, /platter pin accept/)

  const accepted = await call(['pin', 'accept', repo, ...pinned])
  t.equal(accepted.code, 0)
  t.match(accepted.stderr, /is missing/)
  t.match(accepted.stdout, /to its present state/)
  t.equal(await codeOf(['snapshots', repo, ...pinned]), 'success')
  t.equal((await call(['pin', 'accept', repo, ...keys])).code, 2, 'it must be named')

  // A second repository to heal from is not held to the pin of the first.
  const heal = ['repair', 'packs', repo, '--from', join(folder, 'earlier'), '--dry-run']
  t.equal(await codeOf([...heal, ...pinned]), 'success')
})
