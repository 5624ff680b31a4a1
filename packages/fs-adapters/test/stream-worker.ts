// Run by streams.test.ts in a process of its own: copies standard input to standard output, or a part of that.
import { createHash } from 'node:crypto'
import { PlatterError } from '@platter/core'
import { openSource, openTarget } from '@platter/fs-adapters'

const [mode = '', sizeText = '0'] = process.argv.slice(2)
const size = Number(sizeText)

try {
  if (mode === 'read') await digestInput()
  else if (mode === 'write') await writeZerosAndData()
  else if (mode === 'leave') await leaveWhileWaiting()
} catch (error) {
  if (!PlatterError.is(error)) throw error
  console.error(
    JSON.stringify({ code: error.code, systemCode: error.details.systemCode, offset: error.details.offset }),
  )
  process.exitCode = 3
}

/** Reads all of standard input and tells its size and digest. */
async function digestInput(): Promise<void> {
  await using source = await openSource('-')
  const hash = createHash('sha256')
  const into = new Uint8Array(8 * 1024 * 1024)
  let at = 0
  for (;;) {
    const count = await source.read(at, into)
    if (count === 0) break
    hash.update(into.subarray(0, count))
    at += count
  }
  await source.assertUnchanged()
  console.log(
    JSON.stringify({
      bytes: at,
      digest: hash.digest('hex'),
      kind: source.info.kind,
      label: source.info.label,
    }),
  )
}

/** Writes `size` bytes: the first half ones, the rest zeros. */
async function writeZerosAndData(): Promise<void> {
  await using target = await openTarget('-')
  await target.prepare(size)
  const half = Math.floor(size / 2)
  const ones = new Uint8Array(1024 * 1024).fill(1)
  for (let at = 0; at < half; at += ones.length)
    await target.write(at, ones.subarray(0, Math.min(ones.length, half - at)))
  await target.zero(half, size - half)
  await target.flush()
}

/** Exits while a read is waiting for input that does not come. */
async function leaveWhileWaiting(): Promise<void> {
  const source = await openSource('-')
  source.read(0, new Uint8Array(100)).catch(() => {})
  setTimeout(() => process.exit(0), 50)
}
