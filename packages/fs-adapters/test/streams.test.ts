import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  createWriteStream,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createGunzip, createGzip, gunzipSync, gzipSync } from 'node:zlib'
import type { BlockSource } from '@platter/core'
import { openSource, openTarget, type StreamInput, StreamSource, StreamTarget } from '@platter/fs-adapters'
import fc from 'fast-check'
import { test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'

const WORKER = fileURLToPath(new URL('./stream-worker.js', import.meta.url))

async function readAll(source: BlockSource, stepBytes = 100_000, pauseMs = 0): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for (let at = 0; ; ) {
    const into = new Uint8Array(stepBytes)
    const count = await source.read(at, into)
    if (count === 0) return Buffer.concat(pieces)
    pieces.push(into.subarray(0, count))
    at += count
    if (pauseMs > 0) await delay(pauseMs)
  }
}

function cut(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = []
  let at = 0
  for (const length of lengths) {
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  pieces.push(bytes.subarray(at))
  return pieces
}

async function* iterate(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield piece
}

interface Finished {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

function start(args: string[], options: SpawnOptions): { child: ChildProcess; finished: Promise<Finished> } {
  const child = spawn(process.execPath, [WORKER, ...args], options)
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []]
  child.stdout?.on('data', (data: Buffer) => stdout.push(data))
  child.stderr?.on('data', (data: Buffer) => stderr.push(data))
  const finished = new Promise<Finished>((resolve) => {
    child.once('close', (code) => {
      resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() })
    })
  })
  return { child, finished }
}

test('StreamSource: every kind of stream, in pieces of any size', async (t) => {
  const inputs: Record<string, (pieces: Uint8Array[]) => StreamInput> = {
    generator: iterate,
    readable: (pieces) => Readable.from(iterate(pieces), { objectMode: false }),
    web: (pieces) => Readable.toWeb(Readable.from(iterate(pieces))) as ReadableStream<Uint8Array>,
  }
  for (const [kind, make] of Object.entries(inputs)) {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(50_000),
        fc.array(fc.nat(9000)),
        fc.integer({ min: 1, max: 20_000 }),
        async (size, lengths, step) => {
          const source = new StreamSource(make(cut(pattern(size), lengths)))
          if (!sameBytes(await readAll(source, step), pattern(size))) throw new Error('other bytes')
          await source.assertUnchanged()
          if ((await source.read(size, new Uint8Array(1))) !== 0) throw new Error('no lasting end')
          await source.close()
        },
      ),
      { numRuns: 40 },
    )
    t.pass(kind)
  }
})

test('StreamSource: facts and misuse', async (t) => {
  const source = new StreamSource(iterate([pattern(100)]), { label: 'upload' })
  t.equal(source.sequential, true)
  t.equal(source.info.label, 'upload')
  t.equal(source.info.sizeBytes, undefined)
  await rejection(source.read(1, new Uint8Array(10)), 'ERR_INVALID_ARGUMENT')
  t.equal(await source.read(0, new Uint8Array(60)), 60)
  await rejection(source.read(0, new Uint8Array(10)), 'ERR_INVALID_ARGUMENT')
  await rejection(source.assertUnchanged(), 'ERR_SOURCE_CHANGED')
  t.equal(await source.read(60, new Uint8Array(60)), 40)
  await source.assertUnchanged()
  await rejection(
    (async () => {
      for await (const _ of source.extents()) break
    })(),
    'ERR_INVALID_ARGUMENT',
  )
  await source.close()
  await source.close()
  await rejection(source.read(100, new Uint8Array(10)), 'ERR_CLOSED')

  const text = Readable.from(['some', 'text'])
  await rejection(new StreamSource(text).read(0, new Uint8Array(10)), 'ERR_SOURCE_UNSUPPORTED')
})

test('StreamSource: a stream that fails or is cut off', async (t) => {
  const failing = new StreamSource(
    (async function* () {
      yield pattern(1000)
      throw Object.assign(new Error('gone'), { code: 'ECONNRESET' })
    })(),
  )
  t.equal(await failing.read(0, new Uint8Array(5000)), 1000)
  const error = await rejection(failing.read(1000, new Uint8Array(1)), 'ERR_SOURCE_READ')
  t.same([error.details.offset, error.details.systemCode], [1000, 'ECONNRESET'])
  await rejection(failing.read(1000, new Uint8Array(1)), 'ERR_SOURCE_READ')
  await rejection(failing.assertUnchanged(), 'ERR_SOURCE_CHANGED')

  const cutOff = new PassThrough()
  const source = new StreamSource(cutOff)
  cutOff.write(pattern(500))
  t.equal(await source.read(0, new Uint8Array(5000)), 500)
  cutOff.destroy()
  await rejection(source.read(500, new Uint8Array(1)), 'ERR_SOURCE_READ')

  const truncated = new StreamSource(
    Readable.from(iterate([gzipSync(pattern(100_000)).subarray(0, 150)])).pipe(createGunzip()),
  )
  await rejection(readAll(truncated), 'ERR_SOURCE_READ')
})

test('StreamSource: an announced size is held', async (t) => {
  const make = (sizeBytes: number) => new StreamSource(iterate(cut(pattern(1000), [300, 300])), { sizeBytes })
  t.equal((await readAll(make(1000))).length, 1000)
  const short = await rejection(readAll(make(1001)), 'ERR_SOURCE_CHANGED')
  t.same([short.details.expected, short.details.actual], [1001, 1000])
  await rejection(readAll(make(999)), 'ERR_SOURCE_CHANGED')
  await rejection(readAll(make(600)), 'ERR_SOURCE_CHANGED')
})

test('StreamSource: an abort while waiting loses nothing', async (t) => {
  const input = new PassThrough()
  const source = new StreamSource(input)
  const controller = new AbortController()
  const into = new Uint8Array(10)
  const waiting = source.read(0, into, { signal: controller.signal })
  await rejection(source.read(0, new Uint8Array(1)), 'ERR_INVALID_ARGUMENT')
  controller.abort()
  await t.rejects(waiting, { name: 'AbortError' })
  input.write(pattern(10))
  await delay(10)
  t.ok(
    into.every((byte) => byte === 0),
    'the buffer of the aborted read is left alone',
  )
  t.equal(await source.read(0, into), 10)
  t.ok(sameBytes(into, pattern(10)))
  await source.close()
  t.ok(input.destroyed)
})

test('a FIFO as source and target', async (t) => {
  const fifo = join(t.testdir(), 'fifo')
  execFileSync('mkfifo', [fifo])
  const image = pattern(3_000_001)
  {
    await using source = await openSource(fifo)
    t.equal(source.info.kind, 'stream')
    const reading = readAll(source, 1_000_000, 2) // slower than the writer
    await delay(50) // nobody writes yet
    writeFileSync(`${fifo}.image`, image)
    const cat = spawn('sh', ['-c', `cat '${fifo}.image' > '${fifo}'`])
    t.ok(sameBytes(await reading, image))
    await source.assertUnchanged()
    await new Promise((resolve) => (cat.exitCode === null ? cat.once('exit', resolve) : resolve(undefined)))
  }
  {
    const controller = new AbortController()
    const opening = openTarget(fifo, { signal: controller.signal })
    setTimeout(() => controller.abort(), 120)
    await t.rejects(opening, { name: 'AbortError' }, 'nobody reads')
  }
  {
    const cat = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'ignore'] })
    const received: Buffer[] = []
    cat.stdout.on('data', (data: Buffer) => received.push(data))
    const target = await openTarget(fifo)
    await target.prepare(image.length + 5)
    await target.write(0, image)
    await target.zero(image.length, 5)
    await target.flush()
    await target.close()
    await new Promise((resolve) => cat.once('close', resolve))
    t.ok(sameBytes(Buffer.concat(received), Buffer.concat([image, new Uint8Array(5)])))
  }
  {
    const head = spawn('sh', ['-c', `head -c 1000 '${fifo}' > /dev/null`])
    const target = await openTarget(fifo)
    await target.prepare(1e9)
    const ones = new Uint8Array(1e6).fill(1)
    const error = await rejection(
      (async () => {
        for (let at = 0; ; at += ones.length) await target.write(at, ones)
      })(),
      'ERR_TARGET_WRITE',
    )
    t.equal(error.details.systemCode, 'EPIPE')
    await target.close()
    head.kill()
  }
})

test('process substitution', async (t) => {
  const folder = t.testdir()
  const script = `
    import { openSource, openTarget } from '@platter/fs-adapters'
    await new Promise((resolve) => setTimeout(resolve, 300)) // the writer is long gone
    const source = await openSource(process.argv[1])
    const target = await openTarget(process.argv[2])
    const into = new Uint8Array(1000)
    let count = 0
    for (let n; (n = await source.read(count, into)) > 0; ) count += n
    await target.prepare(count)
    await target.zero(0, count)
    await target.close()
    await source.close()`
  const command = `"$0" --input-type=module -e "$1" <(head -c 100 /dev/zero) >(wc -c > '${join(folder, 'count')}')`
  execFileSync('bash', ['-c', command, process.execPath, script], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
  })
  let counted = '' // bash does not wait for the program behind the substitution
  for (let i = 0; i < 200 && counted === ''; i++) {
    await delay(50)
    counted = readFileSync(join(folder, 'count'), 'utf8').trim()
  }
  t.equal(counted, '100')
})

test('standard input: pipe, file, empty, closed early', async (t) => {
  const path = join(t.testdir(), 'image')
  const image = pattern(5_000_000)
  writeFileSync(path, image)
  const digest = createHash('sha256').update(image).digest('hex')
  const expected = { bytes: image.length, digest, kind: 'stream', label: '-' }

  const piped = start(['read'], { stdio: ['pipe', 'pipe', 'inherit'] })
  createReadStream(path).pipe(piped.child.stdin as Writable)
  t.same(JSON.parse((await piped.finished).stdout.toString()), expected, 'socket pair')

  const throughShell = spawn('sh', ['-c', `cat '${path}' | '${process.execPath}' '${WORKER}' read`])
  const output: Buffer[] = []
  throughShell.stdout.on('data', (data: Buffer) => output.push(data))
  await new Promise((resolve) => throughShell.once('close', resolve))
  t.same(JSON.parse(Buffer.concat(output).toString()), expected, 'pipe')

  const fd = openSync(path, 'r')
  const fromFile = start(['read'], { stdio: [fd, 'pipe', 'inherit'] })
  t.same(JSON.parse((await fromFile.finished).stdout.toString()), expected, 'file')
  closeSync(fd)

  const empty = start(['read'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.match(JSON.parse((await empty.finished).stdout.toString()), { bytes: 0 }, '/dev/null')

  const began = Date.now()
  const waiting = spawn('sh', ['-c', `sleep 5 | ('${process.execPath}' '${WORKER}' leave; echo left)`])
  await new Promise((resolve) => waiting.stdout.once('data', resolve))
  t.ok(Date.now() - began < 4500, 'a waiting read does not keep the process from exiting')
})

test('standard output: pipe, file, full device, closed pipe', async (t) => {
  const path = join(t.testdir(), 'image')
  const size = 5_000_001
  const expected = Buffer.alloc(size).fill(1, 0, size >> 1)

  const piped = start(['write', String(size)], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.ok(sameBytes((await piped.finished).stdout, expected), 'pipe')

  const throughShell = spawn('sh', [
    '-c',
    `'${process.execPath}' '${WORKER}' write ${size} | (sleep 0.3; cat) > '${path}'`,
  ])
  await new Promise((resolve) => throughShell.once('close', resolve))
  t.ok(sameBytes(readFileSync(path), expected), 'slow reader')

  const fd = openSync(path, 'w')
  await start(['write', String(size)], { stdio: ['ignore', fd, 'inherit'] }).finished
  closeSync(fd)
  t.ok(sameBytes(readFileSync(path), expected), 'file')

  const nowhere = openSync('/dev/null', 'w')
  t.equal((await start(['write', '3000000000'], { stdio: ['ignore', nowhere, 'inherit'] }).finished).code, 0)
  const full = openSync('/dev/full', 'w')
  const failed = await start(['write', '1000'], { stdio: ['ignore', full, 'pipe'] }).finished
  t.same(
    [failed.code, JSON.parse(failed.stderr)],
    [3, { code: 'ERR_TARGET_FULL', systemCode: 'ENOSPC', offset: 0 }],
  )

  const closed = spawn('bash', [
    '-c',
    `'${process.execPath}' '${WORKER}' write 100000000 | head -c 1000 > /dev/null; exit \${PIPESTATUS[0]}`,
  ])
  const stderr: Buffer[] = []
  closed.stderr.on('data', (data: Buffer) => stderr.push(data))
  const code = await new Promise((resolve) => closed.once('close', resolve))
  t.equal(code, 3)
  t.match(JSON.parse(Buffer.concat(stderr).toString()), { code: 'ERR_TARGET_WRITE', systemCode: 'EPIPE' })
})

test('StreamTarget: what is written arrives, with backpressure', async (t) => {
  let open = 0
  const received: Buffer[] = []
  const slow = new Writable({
    highWaterMark: 1000,
    write(chunk: Buffer, _, done) {
      if (++open > 1) throw new Error('a second write before the first was done')
      received.push(Buffer.from(chunk))
      setTimeout(() => {
        open--
        done()
      }, 5)
    },
  })
  const target = new StreamTarget(slow)
  t.same(await target.prepare(2_500_300), { blank: false })
  const reused = new Uint8Array(100)
  for (let i = 0; i < 3; i++) await target.write(i * 100, reused.fill(i + 1))
  await target.zero(300, 2_500_000)
  await target.flush()
  await target.close()
  await target.close()
  t.ok(slow.writableFinished)
  const expected = Buffer.alloc(2_500_300)
  for (let i = 0; i < 3; i++) expected.fill(i + 1, i * 100, i * 100 + 100)
  t.ok(sameBytes(Buffer.concat(received), expected))
})

test('StreamTarget: through compression into a file, and to a web stream', async (t) => {
  const path = join(t.testdir(), 'image.gz')
  const gzip = createGzip()
  const file = gzip.pipe(createWriteStream(path))
  const target = new StreamTarget(gzip)
  await target.prepare(300_000)
  await target.write(0, pattern(100_000))
  await target.zero(100_000, 200_000)
  await target.close()
  await new Promise((resolve) => {
    if (file.writableFinished) resolve(undefined)
    else file.once('finish', () => resolve(undefined))
  })
  t.ok(sameBytes(gunzipSync(readFileSync(path)), Buffer.concat([pattern(100_000), new Uint8Array(200_000)])))

  const received: Uint8Array[] = []
  let closed = false
  const web = new WritableStream<Uint8Array>({
    write: (chunk) => void received.push(chunk.slice()),
    close: () => void (closed = true),
  })
  const webTarget = new StreamTarget(web)
  await webTarget.prepare(10)
  await webTarget.write(0, pattern(10))
  await webTarget.close()
  t.ok(closed && sameBytes(Buffer.concat(received), pattern(10)))
})

test('StreamTarget: misuse, failure, abort, incomplete images', async (t) => {
  const sink = () => new Writable({ write: (_chunk, _, done) => done() })
  const target = new StreamTarget(sink())
  await rejection(target.write(0, pattern(1)), 'ERR_INVALID_ARGUMENT')
  await target.prepare(100)
  await rejection(target.write(1, pattern(1)), 'ERR_INVALID_ARGUMENT')
  await rejection(target.zero(0, 101), 'ERR_INVALID_ARGUMENT')
  await target.write(0, pattern(100))
  await rejection(target.write(100, pattern(1)), 'ERR_INVALID_ARGUMENT')
  await target.close()
  await rejection(target.write(100, pattern(1)), 'ERR_CLOSED')

  const failing = new StreamTarget(
    new Writable({ write: (_c, _, done) => done(Object.assign(new Error('x'), { code: 'ENOSPC' })) }),
  )
  await failing.prepare(100)
  const error = await rejection(failing.write(0, pattern(10)), 'ERR_TARGET_FULL')
  t.equal(error.details.offset, 0)
  await rejection(failing.write(0, pattern(10)), 'ERR_TARGET_FULL')
  await rejection(failing.flush(), 'ERR_TARGET_FULL')
  await failing.close()

  const stuck = new StreamTarget(new Writable({ write: () => {} }))
  await stuck.prepare(100)
  const controller = new AbortController()
  const writing = stuck.write(0, pattern(10), { signal: controller.signal })
  controller.abort()
  await t.rejects(writing, { name: 'AbortError' })
  await rejection(stuck.write(0, pattern(10)), 'ERR_TARGET_WRITE')
  await stuck.close()

  const incomplete = sink()
  const broken = new StreamTarget(incomplete)
  await broken.prepare(100)
  await broken.write(0, pattern(50))
  await broken.close()
  t.ok(
    incomplete.destroyed && !incomplete.writableFinished,
    'an incomplete image is not ended as if it were complete',
  )
})

test('/dev/null as target; other character devices are refused', async (t) => {
  const target = await openTarget('/dev/null')
  await target.prepare(2e9)
  await target.write(0, pattern(1000))
  await target.zero(1000, 2e9 - 1000)
  await target.flush()
  await target.close()
  await rejection(openTarget('/dev/zero'), 'ERR_TARGET_UNSUPPORTED')
  await rejection(openTarget('/dev/full'), 'ERR_TARGET_UNSUPPORTED')
  t.ok(statSync('/dev/null').isCharacterDevice())
})
