// The demonstration behind `npm start`: a disk image goes into a new repository twice, once before and once after
// it changed, and both states come back and are compared byte by byte. `npm start -- IMAGE` does it with an image
// or disk of your own, which is only read. It is written against the library, so it is also an example of it.
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, open, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const MIB = 1024 ** 2
/** Kept free beside the data, for the index and for the rest of the machine. */
const SPARE_BYTES = 64 * MIB
const COMPARE_BYTES = 4 * MIB

const USAGE = `Usage: npm start [-- [IMAGE] [--keep]]

Without IMAGE a small disk is made for the purpose. IMAGE is an image file or a block device; it is only read.
All that is written goes to $TMPDIR, else to the system's temporary folder, and is removed at the end; --keep
leaves the repository.
`

const OPEN_FAILURES = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
}

/** A failure that its message explains. */
class DemoError extends Error {}

const interruption = new AbortController()
for (const name of ['SIGINT', 'SIGTERM']) {
  process.on(name, () => {
    if (interruption.signal.aborted) process.exit(1)
    interruption.abort(new DemoError(`Interrupted by ${name}.`))
  })
}
const { signal } = interruption

/** What the packages export, once they are built. A program of your own imports it by the names of the packages. */
let library
let shownAt = 0

try {
  await start(process.argv.slice(2))
} catch (error) {
  process.exitCode = 1
  clearLine()
  console.error(`\nplatter: ${explain(signal.aborted ? signal.reason : error)}`)
  if (process.env.PLATTER_DEBUG === '1') console.error(error)
}

async function start(argv) {
  const { path, keep, help } = readArguments(argv)
  if (help) return void process.stdout.write(USAGE)
  // Before minutes of building: is there anything to work on?
  if (path !== undefined) await assertImage(path)

  const { setup } = await import('./setup.mjs')
  await setup()
  library = {
    ...(await import('../packages/repo/dist/index.js')), // @platter/repo
    ...(await import('../packages/fs-adapters/dist/index.js')), // @platter/fs-adapters
    ...(await import('../benchmarks/dist/corpus/demo-disk.js')),
  }

  const folder = await mkdtemp(join(tmpdir(), 'platter-demo-')).catch((error) => {
    throw new DemoError(
      `Nothing can be written to ${tmpdir()} (${error.code}). Set TMPDIR to another folder.`,
    )
  })
  try {
    if (path === undefined) await showDemoDisk(folder)
    else await showImage(folder, path)
    if (keep)
      console.log(
        `\nThe repository and the file with its passphrase are in ${folder}; remove that folder when you are done.`,
      )
  } finally {
    if (!keep) await rm(folder, { recursive: true, force: true })
  }
}

/** A disk, and the same disk after it was used. */
async function showDemoDisk(folder) {
  // Two versions of the disk, the repository, and one restored image at a time.
  await assertSpace(folder, 4 * library.DEMO_DISK_DEFAULTS.dataBytes)

  console.log('Platter: a disk is backed up, changes, is backed up again, and both states come back.\n')
  const made = performance.now()
  const disk = await library.makeDemoDisk({ folder, signal })
  row(
    'disk',
    `${size((await stat(disk.before)).size)}, ${size(await dataBytes(disk.before))} of it data`,
    since(made),
  )

  await withRepository(folder, async (repository) => {
    const first = await backUp(repository, 'backup', disk.before)
    const second = await backUp(repository, 'backup, changed', disk.after)
    await restoreToFile(repository, 'restore', first, disk.before, folder)
    await restoreToFile(repository, 'restore, changed', second, disk.after, folder)
    await verify(repository)
    conclude('Both states came back bit for bit.', first, second)
  })
}

/** An image of the user's, backed up twice. */
async function showImage(folder, path) {
  const data = await dataBytes(path)
  await assertSpace(folder, data)
  console.log(`Platter: ${path} is backed up twice, restored and compared. It is only read.\n`)
  row('image', `${size(await imageBytes(path))}, ${size(data)} of it data`)

  await withRepository(folder, async (repository) => {
    const first = await backUp(repository, 'backup', path)
    const second = await backUp(repository, 'backup, unchanged', path)
    for (const [label, snapshot] of [
      ['restore', first],
      ['restore, unchanged', second],
    ]) {
      if ((await freeBytes(folder)) >= data + SPARE_BYTES)
        await restoreToFile(repository, label, snapshot, path, folder)
      else await restoreAgainst(repository, label, snapshot, path)
    }
    await verify(repository)
    conclude(`What came back is ${path}, bit for bit.`, first, second)
  })
}

/** Creates an encrypted repository, opens it, and closes it again. */
async function withRepository(folder, use) {
  const store = await library.LocalStore.create(join(folder, 'repository'))
  // Stands for the passphrase of a person, which is nowhere but in their head.
  const passphrase = randomBytes(16).toString('base64url')
  await writeFile(join(folder, 'passphrase'), `${passphrase}\n`, { mode: 0o600 })
  await library.Repository.init(store, { passphrase })
  const repository = await library.Repository.open(store, { passphrase, signal })
  try {
    await use(repository)
  } finally {
    await repository.close()
  }
}

async function backUp(repository, label, path) {
  const source = await library.openSource(path)
  try {
    const snapshot = await repository.backup(source, {
      name: 'demo',
      signal,
      onProgress: ({ bytesDone, bytesTotal }) => showProgress(label, bytesDone, bytesTotal),
    })
    const { bytesTotal, bytesNew, bytesStored, seconds } = snapshot.stats
    row(label, `${size(bytesNew)} new, repository grew by ${size(bytesStored)}`, seconds, bytesTotal)
    return snapshot
  } finally {
    await source.close()
  }
}

/** Restores to a new file and compares that with the original. */
async function restoreToFile(repository, label, snapshot, originalPath, folder) {
  const path = join(folder, `restored-${snapshot.id.slice(0, 8)}.img`)
  const target = await library.openTarget(path)
  let stats
  try {
    stats = await repository.restore(snapshot.id, target, {
      signal,
      onProgress: ({ bytesDone, bytesTotal }) => showProgress(label, bytesDone, bytesTotal),
    })
  } finally {
    await target.close()
  }
  const sha256 = await compareFiles(label, originalPath, path)
  row(label, `identical, SHA-256 ${sha256.slice(0, 16)}…`, stats.seconds, stats.bytesTotal)
  await rm(path)
}

/** Restores into a comparison with the original, where there is no room for a copy. */
async function restoreAgainst(repository, label, snapshot, originalPath) {
  const original = await open(originalPath)
  try {
    const target = comparingTarget(original, originalPath)
    const stats = await repository.restore(snapshot.id, target, {
      signal,
      onProgress: ({ bytesDone, bytesTotal }) => showProgress(label, bytesDone, bytesTotal),
    })
    target.finish()
    row(label, 'identical, compared while it was read', stats.seconds, stats.bytesTotal)
  } finally {
    await original.close()
  }
}

/** A target (`BlockTarget` of '@platter/core') that keeps nothing and fails at the first byte that differs. */
function comparingTarget(original, label) {
  const expected = Buffer.alloc(COMPARE_BYTES)
  const zeros = Buffer.alloc(COMPARE_BYTES)
  let imageSize = 0
  let end = 0

  async function compare(offset, data) {
    for (let at = 0; at < data.length; at += COMPARE_BYTES) {
      const piece = data.subarray(at, at + COMPARE_BYTES)
      const there = await readFully(original, expected.subarray(0, piece.length), offset + at)
      assertSame(there, piece, offset + at, label)
    }
    end = offset + data.length
  }

  return {
    info: { kind: 'comparison', label: `comparison with ${label}`, capacityBytes: undefined },
    sequential: true,
    async prepare(bytes) {
      imageSize = bytes
      return { blank: false }
    },
    write: compare,
    async zero(offset, length) {
      for (let at = 0; at < length; at += COMPARE_BYTES) {
        await compare(offset + at, zeros.subarray(0, Math.min(COMPARE_BYTES, length - at)))
      }
    },
    async flush() {},
    async close() {},
    async [Symbol.asyncDispose]() {},
    finish() {
      if (end !== imageSize) throw new DemoError(`The restored image ends at byte ${end} of ${imageSize}.`)
    },
  }
}

async function verify(repository) {
  const label = 'check'
  const report = await repository.check({
    readData: true,
    signal,
    onProgress: ({ done, total }) => showProgress(label, done, total),
  })
  const { findings, snapshots, chunks, bytesRead, seconds } = report
  if (findings.length > 0) throw new DemoError(`The check found damage: ${findings[0].message}`)
  row(label, `${snapshots} snapshots, ${count(chunks)} chunks, ${size(bytesRead)} read: no damage`, seconds)
}

function conclude(text, first, second) {
  const images = first.stats.bytesTotal + second.stats.bytesTotal
  const stored = first.stats.bytesStored + second.stats.bytesStored
  console.log(`\n${text} Two images of ${size(images)} together take ${size(stored)} in the repository.`)
}

/** Compares two files byte by byte and gives the SHA-256 of the second. */
async function compareFiles(label, originalPath, restoredPath) {
  const original = await open(originalPath)
  const restored = await open(restoredPath)
  try {
    const sizeBytes = (await restored.stat()).size
    const expectedBytes = await imageBytes(originalPath)
    if (sizeBytes !== expectedBytes) {
      throw new DemoError(`The restored image has ${sizeBytes} bytes; ${originalPath} has ${expectedBytes}.`)
    }
    const hash = createHash('sha256')
    const a = Buffer.alloc(COMPARE_BYTES)
    const b = Buffer.alloc(COMPARE_BYTES)
    for (let at = 0; at < sizeBytes; at += COMPARE_BYTES) {
      signal.throwIfAborted()
      const length = Math.min(COMPARE_BYTES, sizeBytes - at)
      const [expected, actual] = await Promise.all([
        readFully(original, a.subarray(0, length), at),
        readFully(restored, b.subarray(0, length), at),
      ])
      assertSame(expected, actual, at, originalPath)
      hash.update(actual)
      showProgress(`${label}, comparing`, at, sizeBytes)
    }
    return hash.digest('hex')
  } finally {
    await original.close()
    await restored.close()
  }
}

function assertSame(expected, actual, offset, path) {
  if (expected.equals(actual)) return
  const at = expected.findIndex((byte, index) => byte !== actual[index])
  throw new DemoError(`The restored image differs from ${path} at byte ${offset + Math.max(at, 0)}.`)
}

async function readFully(file, into, position) {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await file.read(into, done, into.length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return into.subarray(0, done)
}

function readArguments(argv) {
  try {
    const options = { keep: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } }
    const { values, positionals } = parseArgs({ args: argv, options, allowPositionals: true })
    if (positionals.length > 1) throw new DemoError('One image at a time.')
    const [path] = positionals
    // npm runs scripts in the package's folder; INIT_CWD is where the user stands.
    const from = process.env.INIT_CWD ?? process.cwd()
    return { ...values, path: path === undefined ? undefined : resolve(from, path) }
  } catch (error) {
    throw new DemoError(`${error.message}\n\n${USAGE}`)
  }
}

async function assertImage(path) {
  const file = await open(path).catch((error) => {
    throw new DemoError(`Cannot open ${path}: ${OPEN_FAILURES[error.code] ?? error.code}.`)
  })
  try {
    const info = await file.stat()
    if (info.isDirectory()) throw new DemoError(`${path} is a folder, not a disk image.`)
    if (!info.isFile() && !info.isBlockDevice())
      throw new DemoError(`${path} is neither a file nor a block device.`)
  } finally {
    await file.close()
  }
}

/** Size of an image file or block device, in bytes. */
async function imageBytes(path) {
  const source = await library.openSource(path)
  await source.close()
  return source.info.sizeBytes
}

/** Bytes of an image that are not holes. */
async function dataBytes(path) {
  const source = await library.openSource(path)
  try {
    let bytes = 0
    for await (const { kind, length } of source.extents({ signal })) if (kind === 'data') bytes += length
    return bytes
  } finally {
    await source.close()
  }
}

async function freeBytes(folder) {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

async function assertSpace(folder, bytes) {
  const free = await freeBytes(folder)
  if (free >= bytes + SPARE_BYTES) return
  throw new DemoError(
    `This needs up to ${size(bytes + SPARE_BYTES)} in ${tmpdir()}, and ${size(free)} are free. ` +
      'Set TMPDIR to a folder with more room.',
  )
}

function explain(error) {
  if (error instanceof DemoError) return error.message
  const code = error?.code === undefined ? '' : ` (${error.code})`
  return `${error?.message ?? error}${code}`
}

/** One line of the report: what, how it went, how long it took, how fast. */
function row(label, text, seconds, bytes) {
  clearLine()
  const time = seconds === undefined ? '' : `${seconds.toFixed(2)} s`
  const speed = bytes === undefined || !(seconds > 0) ? '' : `${size(bytes / seconds)}/s`
  console.log(
    `  ${label.padEnd(18)}  ${text.padEnd(50)}  ${time.padStart(8)}  ${speed.padStart(10)}`.trimEnd(),
  )
}

function showProgress(label, done, total) {
  if (!process.stdout.isTTY || !(total > 0) || performance.now() - shownAt < 100) return
  shownAt = performance.now()
  process.stdout.write(`\r\x1b[K  ${label.padEnd(18)}  ${Math.floor((done / total) * 100)}%`)
}

function clearLine() {
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K')
}

function since(start) {
  return (performance.now() - start) / 1000
}

function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  for (; value >= 1023.5 && unit < units.length - 1; unit++) value /= 1024
  return `${unit === 0 ? Math.round(value) : value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]}`
}

function count(number) {
  return number.toLocaleString('en-US')
}
