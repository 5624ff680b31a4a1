// Command lines, files that hold passphrases, and what the system says about devices.
import { EventEmitter } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ReadStream } from 'node:tty'
import { askSecret } from '../../../../cli/dist/ask-secret.js'
import { parseCommandLine } from '../../../../cli/dist/command-line/parse.js'
import { backup } from '../../../../cli/dist/commands/backup.js'
import { check } from '../../../../cli/dist/commands/check.js'
import { commit } from '../../../../cli/dist/commands/commit.js'
import { diff } from '../../../../cli/dist/commands/diff.js'
import { forget } from '../../../../cli/dist/commands/forget.js'
import { init } from '../../../../cli/dist/commands/init.js'
import { keyAdd, keyChange, keyList, keyRemove } from '../../../../cli/dist/commands/key.js'
import { prune } from '../../../../cli/dist/commands/prune.js'
import { repair } from '../../../../cli/dist/commands/repair.js'
import { restore } from '../../../../cli/dist/commands/restore.js'
import { serve } from '../../../../cli/dist/commands/serve.js'
import { show } from '../../../../cli/dist/commands/show.js'
import { snapshots } from '../../../../cli/dist/commands/snapshots.js'
import { stats } from '../../../../cli/dist/commands/stats.js'
import { Interruption } from '../../../../cli/dist/io.js'
import { Report } from '../../../../cli/dist/output/report.js'
import { passphraseIn } from '../../../../cli/dist/repository/secret-files.js'
import { parseSysfsNumber } from '../../../../fs-adapters/dist/system/block-device.js'
import { parseMounts, parseSwaps } from '../../../../fs-adapters/dist/system/device-use.js'
import { type FuzzTarget, sound } from '../target.ts'
import { textOf, textSeeds } from './fixtures.ts'

const COMMANDS = [
  ...[init, backup, check, commit, diff, forget, keyAdd, keyChange, keyList, keyRemove],
  ...[prune, repair, restore, serve, show, snapshots, stats],
]

/** Input: words, each behind the one before and a zero byte. */
const commandLine: FuzzTarget = {
  name: 'command-line',
  form: 'text',
  seeds: textSeeds(
    'check\0REPO\0--read-data=2/7\0--drill\0--workers\x002',
    'check\0REPO\0--read-data=5%',
    'backup\0REPO\0disk.img\0--name\0web-01/sda\0--tag=a\0--tag=b\0--json',
    'forget\0REPO\0--keep-daily\x007\0--keep-within=1y6m\0--time-zone\0Europe/Berlin\0--dry-run',
    'prune\0REPO\0--max-unused=5%\0--max-repack\x001.5GiB\0--wait',
    'restore\0REPO\0latest\0-\0-q',
    'key\0add\0REPO\0--label=x',
    'serve\0REPO\0latest\0--port\x0010809\0--bind=::1\0--cache=64M',
    'help\0check',
  ),
  codes: ['ERR_USAGE'],
  run(input) {
    const call = parseCommandLine(textOf(input).split('\0'), COMMANDS)
    if (call.kind !== 'run') return
    const { options, command } = call
    const workers = options.workers().workers ?? 0
    sound(Number.isInteger(workers) && workers >= 0 && workers <= 64, 'workers are not a small number')
    // Which option means what is the command's business; each reader is tried on any of them.
    const name = Object.keys(command.options)[input.length % Object.keys(command.options).length]!
    const [bytes, percent, fraction] = [options.bytes(name), options.percent(name), options.fraction(name)]
    sound(bytes === undefined || (Number.isSafeInteger(bytes) && bytes >= 0), 'a size is none')
    sound(percent === undefined || (percent >= 0 && percent <= 1), 'a percentage is none')
    sound(fraction === undefined || (fraction > 0 && fraction <= 1), 'a fraction is none')
  },
}

/** Nothing is there, and nothing is made there by the commands below. */
const NOWHERE = join(tmpdir(), 'platter-fuzz-no-such-repository')
const output = { write() {}, isTTY: false, columns: undefined, broken: false }
const io = {
  stdin: { isTTY: false },
  stdout: output,
  stderr: output,
  signal: new AbortController().signal,
  env: {},
  now: () => 0,
}
const report = new Report(io, { json: true, quiet: true, progress: false })

/** Runs commands up to where they would open the repository, so that they read all of their options. */
const commandOptions: FuzzTarget = {
  name: 'command-options',
  form: 'text',
  seeds: textSeeds(
    'check\0--read-data=2/7',
    'check\0--read-data=0.05\0--drill=latest:x',
    'forget\0--keep-last=3\0--keep-within\x0030d\0--keep-tag=x\0--time-zone=UTC\0--name=n',
    'forget\0latest\0--dry-run',
    'prune\0--max-unused=5\0--max-repack=10G',
  ),
  codes: ['ERR_USAGE', 'ERR_REPOSITORY_NOT_FOUND', 'ERR_INVALID_ARGUMENT'],
  async run(input) {
    const [verb = '', ...words] = textOf(input).split('\0')
    const call = parseCommandLine([verb, NOWHERE, ...words], [check, forget, prune])
    if (call.kind !== 'run' || call.options.has('passphrase-file') || call.options.has('key-file')) return
    const operands = [NOWHERE, ...call.operands.slice(1)]
    await call.command.run({ ...call, operands, io, report })
    sound(false, 'a command works on a repository that is not there')
  },
}

const passphraseFile: FuzzTarget = {
  name: 'passphrase-file',
  form: 'text',
  seeds: textSeeds('the words only you know\n', '\ufeffwith a mark\r\n', '\n'),
  codes: [],
  run(input) {
    const text = textIn(input)
    if (text === undefined) return 'no text'
    const bytes = Buffer.from(text)
    sound(Buffer.compare(input.subarray(0, bytes.length), bytes) === 0, 'a passphrase has other bytes')
    sound(/^(\r?\n)?$/.test(textOf(input.subarray(bytes.length))), 'a passphrase was cut short')
    return 'text'
  },
}

/** Input: what is typed, in pieces that a terminal gives at once, each behind the one before and a zero byte. */
const typedSecret: FuzzTarget = {
  name: 'typed-secret',
  form: 'text',
  seeds: textSeeds('the words\r', 'wrogn\x7f\x7fng\0 words\n', 'gone\x15new\x04', 'no\x03', 'never ended'),
  codes: [],
  async run(input) {
    const typed = textOf(input)
    const terminal = new Terminal()
    const asked = askSecret(terminal as unknown as ReadStream, output, '', io.signal)
    for (const piece of typed.split('\0')) terminal.emit('data', piece)
    terminal.emit('end')
    const ended = await asked.catch((error: unknown) => (error instanceof Error ? error : undefined))
    if (typeof ended === 'string') {
      sound(
        typed.length > ended.length && KEYS.every((key) => !ended.includes(key)),
        'a key is taken for text',
      )
      return 'typed'
    }
    sound(ended !== undefined && !terminal.isRaw, 'a terminal is left as it should not be')
    return ended instanceof Interruption ? 'interrupted' : 'closed'
  },
}

/** What ends, undoes or interrupts typing, instead of being typed. */
const KEYS = ['\r', '\n', '\u0003', '\u0004', '\u0015', '\u007f', '\b']

class Terminal extends EventEmitter {
  isRaw = false
  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw
  }
  setEncoding(): void {}
  pause(): void {}
}

function textIn(input: Uint8Array): string | undefined {
  try {
    return passphraseIn(input)
  } catch (error) {
    // Its caller says which file it was.
    if (error instanceof TypeError) return undefined
    throw error
  }
}

const deviceSize: FuzzTarget = {
  name: 'device-size',
  form: 'text',
  seeds: textSeeds('16777216', '0', '999999999999999'),
  codes: [],
  run(input) {
    const number = parseSysfsNumber(textOf(input))
    if (number === undefined) return 'none'
    sound(Number.isSafeInteger(number) && number === Number(textOf(input)), 'a number is another')
    return 'number'
  },
}

const mounts: FuzzTarget = {
  name: 'mount-tables',
  form: 'text',
  seeds: textSeeds(
    '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n24 1 0:21 / / rw - btrfs /dev/sda2 rw\n',
    'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/dm-1                               partition\t1003516\t0\t-2\n/swap\\040file file 1 0 -3\n',
  ),
  codes: [],
  run(input) {
    const text = textOf(input)
    for (const { device, path, source } of parseMounts(text))
      sound(
        [device, path, source].every((part) => typeof part === 'string'),
        'a mount is none',
      )
    sound(
      parseSwaps(text).every((path) => path !== ''),
      'a swap is none',
    )
  },
}

export const COMMAND_LINE_TARGETS: readonly FuzzTarget[] = [
  commandLine,
  commandOptions,
  passphraseFile,
  typedSecret,
  deviceSize,
  mounts,
]
