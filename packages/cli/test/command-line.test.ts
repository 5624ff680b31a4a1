import { test } from 'tap'
import { formatBytes, formatClock, formatCount, formatDuration, formatShare } from '../dist/format/amounts.js'
import { printable } from '../dist/format/printable.js'
import { columns } from '../dist/format/table.js'
import { JsonProgress, LiveProgress, PlainProgress } from '../dist/output/progress-display.js'
import { fitParts, type ProgressView } from '../dist/output/progress-view.js'
import { RateMeter } from '../dist/output/rate-meter.js'
import { CollectedText, call, errorOf, platter } from './harness.ts'

const MIB = 1024 ** 2

test('help', async (t) => {
  const general = await call(['--help'])
  t.equal(general.code, 0)
  t.equal(general.stderr, '')
  for (const name of [
    'init',
    'backup',
    'snapshots',
    'show',
    'restore',
    'check',
    'repair',
    'diff',
    'forget',
    'stats',
  ]) {
    t.match(general.stdout, new RegExp(`^  ${name} +\\w`, 'm'))
    for (const argv of [
      [name, '--help'],
      ['-h', name],
      ['help', name],
    ]) {
      const { code, stdout } = await call(argv)
      t.equal(code, 0)
      t.match(stdout, `Usage: platter ${name} ${name === 'repair' ? 'WHAT ' : ''}REPO`)
      t.match(stdout, '--json')
    }
  }
  t.match((await call(['check', '--help'])).stdout, '--read-data[=PART]')
  t.match((await call(['init', '--help'])).stdout, '--chunker aligned|fastcdc|fixed')
})

test('version', async (t) => {
  t.match((await call(['--version'])).stdout, /^platter \d+\.\d+\.\d+\n$/)
  t.match(JSON.parse((await call(['-V', '--json'])).stdout), { version: /^\d+\.\d+\.\d+/ })
})

test('a wrong command line ends with 2 and says how it should be', async (t) => {
  const cases: [argv: string[], message: RegExp][] = [
    [[], /No command was given.*\n {2}platter --help/],
    [['bakup', 'r', 's'], /no command 'bakup'.*\n {2}Did you mean 'platter backup'\?/],
    [['frobnicate'], /no command 'frobnicate'.*\n {2}platter --help/],
    [['backup', 'r'], /SOURCE is missing.*\n {2}Usage: platter backup REPO SOURCE/],
    [['snapshots'], /REPO is missing/],
    [['forget'], /REPO is missing.*\n {2}Usage: platter forget REPO \[SNAPSHOT\.\.\.\]/],
    [['forget', 'r'], /Neither a snapshot to forget nor a --keep option was given/],
    [['forget', 'r', '--dry-run', '--name', 'disk'], /Neither a snapshot to forget/],
    [['forget', 'r', 'latest', '--keep-last', '3'], /--keep-last cannot be used with snapshots/],
    [['forget', 'r', 'latest', '--host', 'lab'], /--host cannot be used with snapshots/],
    [['forget', 'r', '--keep-last', 'all'], /--keep-last takes a whole number, not 'all'/],
    [['forget', 'r', '--keep-daily=-1'], /--keep-daily takes a whole number, not '-1'/],
    [['forget', 'r', '--keep-daily', '9007199254740993'], /--keep-daily takes a whole number/],
    [['forget', 'r', '--keep-last', '0'], /must have a rule that keeps something/],
    [['forget', 'r', '--keep-within', '30'], /A duration is written as 30d/],
    [['forget', 'r', '--keep-tag='], /keepTags must be a list of tags, none of them empty/],
    [['forget', 'r', '--keep-last', '3', '--time-zone', 'Mars'], /There is no time zone 'Mars'/],
    [['stats', 'r', 'x'], /'x' is one operand too many/],
    [['stats', ''], /operand is empty/],
    [['stats', 'r', '--jsn'], /no option --jsn.*\n {2}Did you mean --json\?/],
    [['stats', 'r', '-x'], /no option -x/],
    [['stats', 'r', '--constructor'], /no option --constructor/],
    [['stats', 'r', '--force'], /'stats' has no option --force.*\n {2}platter stats --help/],
    [['stats', 'r', '--json=yes'], /--json takes no value/],
    [['backup', 'r', 's', '--name'], /--name needs a value/],
    [['backup', 'r', 's', '--name', '--quiet'], /--name needs a value, and '--quiet'/],
    [['backup', 'r', 's', '--name', 'a', '--name', 'b'], /--name was given more than once/],
    [['backup', 'r', 's', '--workers', 'many'], /--workers takes a number from 0 to 64, not 'many'/],
    [['backup', 'r', 's', '--workers', '65'], /--workers takes/],
    [['backup', 'r', 's', '--workers=-1'], /--workers takes/],
    [['backup', 'r', 's', '--on-read-error', 'ignore'], /--on-read-error takes stop, record, not 'ignore'/],
    [['backup', 'r', 's', '--codec', 'gzip'], /--codec takes/],
    [['init', 'r', '--chunker', 'rabin'], /--chunker takes aligned, fastcdc, fixed/],
    [['check', 'r', '--read-data=0'], /--read-data takes a fraction/],
    [['check', 'r', '--read-data=101%'], /--read-data takes a fraction/],
    [['check', 'r', '--read-data=half'], /--read-data takes a fraction/],
    [['check', 'r', '--read-data='], /--read-data takes a fraction/],
    [['restore', 'r', 's', '-', '--only-different'], /--only-different needs a target that can be read/],
  ]
  for (const [argv, message] of cases) {
    const { code, stdout, stderr } = await call(argv)
    t.equal(code, 2, argv.join(' '))
    t.equal(stdout, '')
    t.match(stderr, message)
    t.match(stderr, /^platter: .* \(ERR_USAGE\)\n/)
  }
  const outcome = await call(['stats', '--json'])
  t.equal(outcome.code, 2)
  t.equal(outcome.stdout, '')
  t.match(errorOf(outcome), { code: 'ERR_USAGE', message: /REPO is missing/, hint: /Usage/ })
})

test('an image neither comes from a terminal nor goes to one', async (t) => {
  const source = await call(['backup', 'r', '-'], { stdinIsTTY: true })
  t.equal(source.code, 2)
  t.match(source.stderr, /standard input, and that is a terminal/)
  const target = await call(['restore', 'r', 'latest', '-'], { tty: { columns: 80 } })
  t.equal(target.code, 2)
  t.match(target.stderr, /standard output, and that is a terminal/)
})

test('the real command passes exit codes and both outputs on', async (t) => {
  const version = await platter(['--version'])
  t.equal(version.code, 0)
  t.match(version.stdout, /^platter /)
  const usage = await platter(['backup'])
  t.equal(usage.code, 2)
  t.match(usage.stderr, /REPO is missing/)
})

const reading = (done: number, total: number | undefined, phase = 'reading'): ProgressView => ({
  phase,
  unit: 'bytes',
  done,
  total,
  bytesMoved: done,
  notes: ['1.00 MiB new', '2.00 MiB known'],
})

test('the live line is drawn at most ten times a second, fits the terminal and leaves nothing behind', async (t) => {
  const output = new CollectedText()
  output.isTTY = true
  output.columns = 60
  let now = 0
  const progress = new LiveProgress(output, () => now)
  for (; now < 2000; now += 10) progress.update(reading(now * MIB, 4000 * MIB))
  const drawn = output.text.split('\r\x1b[K').slice(1)
  t.ok(drawn.length >= 19 && drawn.length <= 20, `${drawn.length} lines in two seconds`)
  for (const line of drawn) t.ok(line.length < 60, line)
  t.match(drawn.at(-1), /^reading {2}4\d% {2}1\.\d\d GiB of 3\.91 GiB {2}1000 MiB\/s {2}0:03 left$/)

  output.columns = 200
  progress.update(reading(now * MIB, 4000 * MIB))
  t.match(output.text, /left {2}1\.00 MiB new {2}2\.00 MiB known$/)

  progress.aside(() => output.write('a warning\n'))
  t.match(output.text, '\r\x1b[Ka warning\n\r\x1b[Kreading', 'other lines do not mix with it')
  progress.end()
  t.ok(output.text.endsWith('\r\x1b[K'), 'the line is gone at the end')
  t.notMatch(output.text.replace('a warning\n', ''), '\n')
})

test('without an end in sight no share and no time is shown', async (t) => {
  const output = new CollectedText()
  let now = 0
  const progress = new LiveProgress(output, () => now)
  progress.update(reading(0, undefined))
  now = 1000
  progress.update(reading(5 * MIB, undefined))
  t.match(output.text, /reading {2}5\.00 MiB {2}5\.00 MiB\/s {2}1\.00 MiB new/)
  t.notMatch(output.text, /%|left|NaN|Infinity/)
})

test('where no terminal is, a line comes now and then', async (t) => {
  const output = new CollectedText()
  let now = 0
  const progress = new PlainProgress(output, () => now)
  for (; now <= 600_000; now += 100) progress.update(reading(now * 1000, 1e9))
  progress.end()
  const lines = output.text.trimEnd().split('\n')
  t.ok(lines.length > 8 && lines.length < 15, `${lines.length} lines in ten minutes`)
  t.match(lines[0], /^reading {2}0% {2}4\.77 MiB of 954 MiB/)
  for (const control of ['\r', '\x1b']) t.notOk(output.text.includes(control))
})

test('for programs progress comes as JSON at each phase, each second, and at the end', async (t) => {
  const output = new CollectedText()
  let now = 0
  const progress = new JsonProgress(output, () => now)
  progress.update(reading(0, 10), { phase: 'reading', bytesDone: 0 })
  now = 500
  progress.update(reading(1, 10), { phase: 'reading', bytesDone: 1 })
  now = 1000
  progress.update(reading(2, 10), { phase: 'reading', bytesDone: 2 })
  now = 1100
  progress.update(reading(9, 10, 'committing'), { phase: 'committing', bytesDone: 9 })
  now = 1200
  progress.update(reading(10, 10, 'committing'), { phase: 'committing', bytesDone: 10 })
  progress.end()
  progress.end()
  const lines = output.text.trimEnd().split('\n')
  t.same(
    lines.map((line) => (JSON.parse(line) as { progress: { bytesDone: number } }).progress.bytesDone),
    [0, 2, 9, 10],
  )
})

test('speed follows a change and forgets what is long past', async (t) => {
  const meter = new RateMeter()
  t.equal(meter.movedPerSecond(), undefined)
  for (let time = 0; time <= 20_000; time += 50) meter.add(time, time, time)
  t.equal(Math.round(meter.movedPerSecond()!), 1000)
  for (let time = 20_050; time <= 40_000; time += 50) meter.add(time, 20_000, 20_000)
  t.equal(meter.movedPerSecond(), 0)
  t.equal(meter.secondsLeft(30_000), undefined, 'no end is foretold when nothing moves')
})

test('amounts read well', async (t) => {
  const bytes: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [10_234, '9.99 KiB'],
    [10_240, '10.0 KiB'],
    [1024 ** 2 - 1, '1.00 MiB'],
    [640 * MIB, '640 MiB'],
    [2 ** 53 - 1, '8.00 PiB'],
    [5000 * 1024 ** 5, '5000 PiB'],
  ]
  for (const [amount, text] of bytes) t.equal(formatBytes(amount), text)
  t.equal(formatCount(1_234_567), '1,234,567')
  t.equal(formatCount(999), '999')
  t.equal(formatShare(999, 1000), '99%')
  t.equal(formatShare(1000, 1000), '100%')
  t.equal(formatShare(0, 0), '100%')
  t.equal(formatDuration(0.5), '0.50 s')
  t.equal(formatDuration(59.99), '1 min 0 s')
  t.equal(formatDuration(7500), '2 h 5 min')
  t.equal(formatClock(6), '0:06')
  t.equal(formatClock(3725), '1:02:05')
})

test('tables align, also with other scripts, and text from elsewhere cannot drive the terminal', async (t) => {
  t.equal(
    columns(
      [
        ['ID', 'SIZE'],
        ['größe', '1'],
      ],
      [1],
    ),
    'ID     SIZE\ngröße     1',
  )
  t.equal(printable('a\x1b]0;title\x07\n\u202eb'), 'a\\x1b]0;title\\x07\\x0a\\u202eb')
  t.equal(fitParts(['a long first part', 'b'], 6), 'a long')
})
