// Encrypted repositories from the command line: passphrase files, key files, prompts, key slots.
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { ReadStream } from 'node:tty'
import { openRecord, RECORD_TYPE, RecordReader } from '@platter/core'
import { test } from 'tap'
import { askSecret } from '../dist/ask-secret.js'
import { type CallOptions, call, errorOf, noise, type Outcome, platter } from './harness.ts'

const PASSPHRASE = 'Straße 12, hinten links'

/** Answers for prompts, in their order; what was asked is noted. */
function typist(...answers: string[]): { asked: string[]; askSecret: (question: string) => Promise<string> } {
  const asked: string[] = []
  return {
    asked,
    askSecret: async (question) => {
      asked.push(question)
      return answers.shift()!
    },
  }
}

async function json<T = Record<string, unknown>>(argv: string[], options: CallOptions = {}): Promise<T> {
  const outcome = await call([...argv, '--json'], options)
  if (outcome.code !== 0) throw new Error(`platter ${argv.join(' ')}: ${outcome.stderr}`)
  return JSON.parse(outcome.stdout) as T
}

/** What trying a passphrase costs, by the only key slot of a repository. */
async function costOf(repo: string): Promise<unknown> {
  const [slot] = await readdir(join(repo, 'keys'))
  const record = openRecord(RECORD_TYPE.keySlot, `keys/${slot}`, await readFile(join(repo, 'keys', slot!)))
  const header = RecordReader.decode(record, 'slot').byteString('header', 16384)
  const kdf = RecordReader.decode(header, 'header').record('kdf')
  return { N: kdf.integer('N'), r: kdf.integer('r'), p: kdf.integer('p') }
}

async function codeOf(argv: string[], options: CallOptions = {}): Promise<string> {
  const outcome: Outcome = await call([...argv, '--json'], options)
  return outcome.code === 0 ? 'success' : errorOf(outcome).code
}

test('from init to restore, with each way to give a passphrase or key', { timeout: 120_000 }, async (t) => {
  const folder = t.testdir({ 'image.raw': noise(300_000, 'image').toString('latin1') })
  const image = join(folder, 'image.raw')
  const bytes = noise(300_000, 'image')
  await writeFile(image, bytes)
  const passphraseFile = join(folder, 'passphrase')
  await writeFile(passphraseFile, `${PASSPHRASE}\n`, { mode: 0o600 })
  const keyFile = join(folder, 'key')
  await writeFile(keyFile, noise(48, 'key'), { mode: 0o600 })
  const env = { PLATTER_PASSPHRASE_FILE: passphraseFile }
  for (const [i, [words, options]] of (
    [
      [['--passphrase-file', passphraseFile], {}],
      [['--key-file', keyFile], {}],
      [[], { env }],
    ] as const
  ).entries()) {
    const repo = join(folder, `repo-${i}`)
    const made = await json<{ encryption: string }>(['init', repo, ...words], options)
    t.equal(made.encryption, 'aes-256-gcm')
    await json(['backup', repo, image, '--name', 'disk', ...words], options)
    const copy = join(folder, `copy-${i}`)
    await json(['restore', repo, 'latest', copy, ...words], options)
    t.ok(bytes.equals(await readFile(copy)))
    for (const verb of ['snapshots', 'check', 'stats'])
      t.equal(await codeOf([verb, repo, ...words], options), 'success', verb)
    t.equal(await codeOf(['snapshots', repo]), 'ERR_KEY_REQUIRED')
  }
  const repo = join(folder, 'repo-0')
  const other = join(folder, 'other')
  await writeFile(other, 'another', { mode: 0o600 })
  t.equal(await codeOf(['snapshots', repo, '--passphrase-file', other]), 'ERR_WRONG_PASSPHRASE')
  t.equal(await codeOf(['snapshots', repo, '--key-file', keyFile]), 'ERR_NO_KEY_SLOT')
  t.equal(await codeOf(['snapshots', repo, '--key-file', other]), 'ERR_INVALID_ARGUMENT', 'too short')
  t.equal(
    await codeOf(['snapshots', repo, '--passphrase-file', join(folder, 'none')]),
    'ERR_INVALID_ARGUMENT',
  )
  t.equal(await codeOf(['snapshots', repo, '--passphrase-file', folder]), 'ERR_INVALID_ARGUMENT')
  const both = ['--passphrase-file', passphraseFile, '--key-file', keyFile]
  t.equal((await call(['snapshots', repo, ...both])).code, 2)
  t.equal((await call(['init', join(folder, 'x'), '--no-encryption', '--key-file', keyFile])).code, 2)
  // The variable alone does not stand in the way of a repository that is to be readable.
  t.equal(await codeOf(['init', join(folder, 'plain'), '--no-encryption'], { env }), 'success')
  t.equal(await codeOf(['snapshots', join(folder, 'plain')], { env }), 'ERR_NOT_ENCRYPTED')
  t.equal(await codeOf(['snapshots', join(folder, 'plain')]), 'success')
})

test('a file everyone can read is warned of, and its line end is not part of the passphrase', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const file = join(folder, 'passphrase')
  await writeFile(file, PASSPHRASE)
  await chmod(file, 0o600)
  const quiet = await call(['init', repo, '--passphrase-file', file])
  t.equal(quiet.stderr, '')
  await writeFile(file, `${PASSPHRASE}\r\n`)
  await chmod(file, 0o644)
  const loud = await call(['snapshots', repo, '--passphrase-file', file])
  t.equal(loud.code, 0)
  t.match(loud.stderr, /^platter: warning: .*can read .*WARN_FILE_READABLE/)
  await writeFile(file, `${PASSPHRASE}\n\n`)
  t.equal(await codeOf(['snapshots', repo, '--passphrase-file', file]), 'ERR_WRONG_PASSPHRASE')
  await writeFile(file, '\n')
  t.equal(await codeOf(['snapshots', repo, '--passphrase-file', file]), 'ERR_INVALID_ARGUMENT', 'empty')
  await writeFile(file, Buffer.of(0xff, 0xfe, 0x00))
  t.equal(await codeOf(['snapshots', repo, '--passphrase-file', file]), 'ERR_INVALID_ARGUMENT', 'no text')
  await writeFile(file, 'x'.repeat(70_000))
  t.equal(await codeOf(['snapshots', repo, '--passphrase-file', file]), 'ERR_INVALID_ARGUMENT', 'too long')
})

test('a passphrase that is typed: twice for a new repository, once afterwards', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const differs = typist('one', 'two')
  t.equal(await codeOf(['init', repo], { askSecret: differs.askSecret }), 'ERR_INVALID_ARGUMENT')
  t.same(await readdir(folder), [], 'nothing was created')
  const first = typist(PASSPHRASE, PASSPHRASE)
  t.equal(await codeOf(['init', repo], { askSecret: first.askSecret }), 'success')
  t.equal(first.asked.length, 2)
  const again = typist(PASSPHRASE)
  t.equal(await codeOf(['snapshots', repo], { askSecret: again.askSecret }), 'success')
  t.match(again.asked, [/Passphrase of .*repo: $/])
  const wrong = typist('wrong')
  t.equal(await codeOf(['snapshots', repo], { askSecret: wrong.askSecret }), 'ERR_WRONG_PASSPHRASE')
  const plain = join(folder, 'plain')
  const never = typist()
  t.equal(await codeOf(['init', plain, '--no-encryption'], { askSecret: never.askSecret }), 'success')
  t.equal(await codeOf(['snapshots', plain], { askSecret: never.askSecret }), 'success')
  t.same(never.asked, [], 'nobody is asked for what is not needed')
})

test('key list, add, change, remove', { timeout: 120_000 }, async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const keyFile = join(folder, 'key')
  await writeFile(keyFile, noise(32, 'key'), { mode: 0o600 })
  const files: Record<string, string> = {}
  for (const name of ['one', 'two']) {
    files[name] = join(folder, name)
    await writeFile(files[name], name, { mode: 0o600 })
  }
  const one = ['--passphrase-file', files.one!]
  await json(['init', repo, ...one])
  const { key } = await json<{ key: string }>([
    'key',
    'add',
    repo,
    ...one,
    '--new-key-file',
    keyFile,
    '--label',
    'in the safe',
  ])
  const { keys } = await json<{ keys: { id: string; kind: string; label: string; inUse: boolean }[] }>([
    'key',
    'list',
    repo,
    ...one,
  ])
  t.match(keys, [
    { kind: 'passphrase', inUse: true },
    { id: key, kind: 'key-file', label: 'in the safe', inUse: false },
  ])
  const table = await call(['key', 'list', repo, ...one])
  t.match(table.stdout, /\* .*passphrase[\s\S]*key-file .*in the safe/)
  await json(['key', 'change', repo, ...one, '--new-passphrase-file', files.two!])
  t.equal(await codeOf(['snapshots', repo, ...one]), 'ERR_WRONG_PASSPHRASE')
  const two = ['--passphrase-file', files.two!]
  const typed = typist('three', 'three')
  const added = await json<{ key: string }>(['key', 'add', repo, ...two], { askSecret: typed.askSecret })
  await json(['key', 'remove', repo, added.key.slice(0, 8), ...two])
  t.equal(await codeOf(['key', 'remove', repo, 'ffff', ...two]), 'ERR_NO_KEY_SLOT')
  await json(['key', 'remove', repo, key, ...two])
  const [last] = (await json<{ keys: { id: string }[] }>(['key', 'list', repo, ...two])).keys
  t.equal(await codeOf(['key', 'remove', repo, last!.id, ...two]), 'ERR_LAST_KEY_SLOT')

  const vague = await call(['key'])
  t.equal(vague.code, 2)
  t.match(vague.stderr, /needs to be told what to do/)
  t.match((await call(['help', 'key', 'add'])).stdout, /platter key add REPO/)
  t.match((await call(['key', 'add', '--help'])).stdout, /platter key add REPO/)
  const plain = join(folder, 'plain')
  await json(['init', plain, '--no-encryption'])
  t.equal(await codeOf(['key', 'list', plain]), 'ERR_NOT_ENCRYPTED')
})

test('no passphrase is on any output, whatever goes wrong', { timeout: 60_000 }, async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const file = join(folder, 'file')
  await writeFile(file, PASSPHRASE, { mode: 0o600 })
  const said = [await platter(['init', repo, '--passphrase-file', file])]
  t.equal(said[0]!.code, 0)
  t.same(await costOf(repo), { N: 2 ** 17, r: 8, p: 1 }, 'what users get is not what this test gets')
  // The wrong passphrase is tried where trying it is cheap.
  const cheap = join(folder, 'cheap')
  await json(['init', cheap, '--passphrase-file', file])
  await writeFile(file, `not ${PASSPHRASE}`)
  const attempts = [['snapshots'], ['check', '--json'], ['key', 'list']].map((words) =>
    platter([...words, cheap, '--passphrase-file', file]),
  )
  said.push(...(await Promise.all([...attempts, platter(['snapshots', cheap])])))
  t.same(
    said.slice(1).map(({ code }) => code),
    [1, 1, 1, 1],
  )
  t.match(said.at(-1)!.stderr, /ERR_KEY_REQUIRED[\s\S]*--passphrase-file/)
  for (const { stdout, stderr } of said) t.notMatch(stdout + stderr, /Straße/)
})

test('what is typed is not echoed, can be corrected and be broken off', async (t) => {
  const type = (...pieces: string[]): { answer: Promise<string>; shown: string[]; modes: boolean[] } => {
    const stream = new PassThrough()
    const modes: boolean[] = []
    const terminal = Object.assign(stream, {
      setRawMode: (mode: boolean) => modes.push(mode),
    }) as unknown as ReadStream
    const shown: string[] = []
    const prompt = { write: (text: string) => void shown.push(text) }
    const answer = askSecret(terminal, prompt, 'Secret: ', new AbortController().signal)
    for (const piece of pieces) stream.write(piece)
    return { answer, shown, modes }
  }
  const plain = type('se', 'cret', '\r')
  t.equal(await plain.answer, 'secret')
  t.same(plain.shown, ['Secret: ', '\n'])
  t.same(plain.modes, [true, false])
  t.equal(await type('ab\u007fc🐟\bd\n').answer, 'acd')
  t.equal(await type('wrong\u0015right\n').answer, 'right')
  const broken = type('x\u0003')
  await t.rejects(broken.answer, { name: 'Interruption' })
  t.same(broken.modes, [true, false], 'the terminal is as it was')
  const aborted = new AbortController()
  aborted.abort(new Error('enough'))
  const stream = new PassThrough() as unknown as ReadStream
  await t.rejects(askSecret(stream, { write: () => {} }, '', aborted.signal), /enough/)
})
