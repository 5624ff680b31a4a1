// The server against the clients that people use: nbdinfo, nbdcopy and nbdsh of libnbd, qemu-img and qemu-io, fio.
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NbdServer, rangesContext } from '@platter/fs-adapters/nbd'
import { type Test, test } from 'tap'
import { pattern, sameBytes } from './assertions.ts'
import { MemoryImage } from './memory-image.ts'

const MIB = 1024 * 1024

/** Data, holes of several sizes, and an end that is no multiple of anything. */
function diskImage(): MemoryImage {
  const bytes = Buffer.alloc(24 * MIB + 1536)
  bytes.set(pattern(5 * MIB, 1), 0)
  bytes.set(pattern(3 * MIB + 777, 2), 9 * MIB)
  bytes.set(pattern(4 * MIB, 3), bytes.length - 4 * MIB)
  return new MemoryImage(bytes)
}

function missing(...tools: readonly string[]): string | false {
  const absent = tools.filter((tool) => spawnSync('which', [tool]).status !== 0)
  return absent.length > 0 && `${absent.join(', ')} not installed`
}

interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a tool while this process serves it. */
function run(tool: string, args: readonly string[]): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (text) => {
      stdout += text
    })
    child.stderr.on('data', (text) => {
      stderr += text
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

async function succeeds(t: Test, tool: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(tool, args)
  t.equal(code, 0, `${tool} ${args.join(' ')}\n${stderr}`)
  return stdout
}

/** Where the changed ranges of the tests lie. */
const CHANGED = [
  { offset: 4096, length: 8192 },
  { offset: 10 * MIB, length: MIB },
]

async function serve(t: Test, image: MemoryImage, options: { writable?: boolean } = {}): Promise<NbdServer> {
  // Not in the test's own folder, whose path may be too long for a socket.
  const folder = mkdtempSync(join(tmpdir(), 'platter-nbd-'))
  const contexts = [
    rangesContext('platter:changed', async function* () {
      yield* CHANGED
    }),
  ]
  const server = await NbdServer.listen(
    image,
    { path: join(folder, 'disk.sock') },
    { name: 'disk', description: 'a disk of a test', contexts, ...options },
  )
  t.teardown(async () => {
    await server.close()
    rmSync(folder, { recursive: true })
  })
  return server
}

test('nbdinfo', { skip: missing('nbdinfo') }, async (t) => {
  const image = diskImage()
  const server = await serve(t, image)
  const info = JSON.parse(await succeeds(t, 'nbdinfo', ['--json', server.uri]))
  t.equal(info.protocol, 'newstyle-fixed')
  t.equal(info.structured, true)
  const [disk] = info.exports
  t.match(disk, {
    'export-name': 'disk',
    description: 'a disk of a test',
    'export-size': image.sizeBytes,
    is_read_only: true,
    can_multi_conn: true,
    can_df: true,
    can_cache: true,
    can_flush: false,
    can_trim: false,
    can_zero: false,
    block_size_minimum: 1,
    block_size_maximum: 32 * MIB,
    contexts: ['base:allocation', 'platter:changed'],
  })
  const list = JSON.parse(await succeeds(t, 'nbdinfo', ['--json', '--list', server.uri]))
  t.equal(list.exports.length, 1)

  const map = JSON.parse(await succeeds(t, 'nbdinfo', ['--json', '--map', server.uri]))
  let at = 0
  for (const { offset, length, type } of map) {
    t.equal(offset, at)
    const blank = image.bytes.subarray(offset, offset + length).every((byte) => byte === 0)
    t.equal(type === 3, blank)
    at += length
  }
  t.equal(at, image.sizeBytes)
  const changed = JSON.parse(await succeeds(t, 'nbdinfo', ['--json', '--map=platter:changed', server.uri]))
  t.same(
    changed
      .filter(({ type }: { type: number }) => type === 1)
      .map(({ offset, length }: { offset: number; length: number }) => ({ offset, length })),
    CHANGED,
  )
})

test('nbdcopy and qemu-img read every byte', { skip: missing('nbdcopy', 'qemu-img') }, async (t) => {
  const image = diskImage()
  const server = await serve(t, image)
  const folder = t.testdir()
  const original = join(folder, 'original')
  writeFileSync(original, image.bytes)
  const copy = join(folder, 'copy')
  await succeeds(t, 'nbdcopy', ['--connections=4', server.uri, copy])
  t.ok(sameBytes(readFileSync(copy), image.bytes))
  t.ok(statSync(copy).blocks * 512 < image.sizeBytes, 'holes stay holes')
  await succeeds(t, 'nbdcopy', ['--synchronous', server.uri, copy])
  t.ok(sameBytes(readFileSync(copy), image.bytes))

  await succeeds(t, 'qemu-img', ['compare', '-f', 'raw', '-F', 'raw', original, server.uri])
  const qcow = join(folder, 'disk.qcow2')
  await succeeds(t, 'qemu-img', ['convert', '-m', '8', '-W', '-f', 'raw', '-O', 'qcow2', server.uri, qcow])
  await succeeds(t, 'qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', original, qcow])
  // A difference is seen.
  image.bytes[10 * MIB]! ^= 1
  const different = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', original, server.uri])
  t.equal(different.code, 1)
})

test('nbdkit passes it on', { skip: missing('nbdkit', 'nbdcopy') }, async (t) => {
  const image = diskImage()
  const server = await serve(t, image)
  const copy = join(t.testdir(), 'copy')
  await succeeds(t, 'nbdkit', [
    '-U',
    '-',
    'nbd',
    `uri=${server.uri}`,
    'shared=true',
    '--run',
    `nbdcopy "$uri" ${copy}`,
  ])
  t.ok(sameBytes(readFileSync(copy), image.bytes))
})

test('a read-only export refuses to be written', { skip: missing('qemu-io') }, async (t) => {
  const server = await serve(t, diskImage())
  const refused = await run('qemu-io', ['-f', 'raw', '-c', 'write 0 4k', server.uri])
  t.not(refused.code, 0)
  t.match(refused.stderr, /permission denied|read.only/i)
})

test('qemu-io writes, zeroes and reads back', { skip: missing('qemu-io') }, async (t) => {
  const image = diskImage()
  const expected = Buffer.from(image.bytes)
  const server = await serve(t, image, { writable: true })
  const commands = [
    'write -P 0x5a 12345 70000',
    'write -z 1M 300k',
    'discard 2M 1M',
    'flush',
    'read -P 0x5a 12345 70000',
  ]
  await succeeds(t, 'qemu-io', [
    '-f',
    'raw',
    '-d',
    'unmap',
    ...commands.flatMap((command) => ['-c', command]),
    server.uri,
  ])
  expected.fill(0x5a, 12345, 12345 + 70000)
  expected.fill(0, MIB, MIB + 300 * 1024)
  expected.fill(0, 2 * MIB, 3 * MIB)
  t.ok(sameBytes(image.bytes, expected))
  t.ok(image.flushes > 0)
})

test('nbdcopy writes an image', { skip: missing('nbdcopy') }, async (t) => {
  const image = diskImage()
  const server = await serve(t, image, { writable: true })
  const other = pattern(image.sizeBytes, 9)
  other.fill(0, 3 * MIB, 7 * MIB)
  const file = join(t.testdir(), 'other')
  writeFileSync(file, other)
  await succeeds(t, 'nbdcopy', ['--flush', file, server.uri])
  t.ok(sameBytes(image.bytes, other))
  t.ok(image.flushes > 0)
})

test('fio verifies what it wrote, over four connections', { skip: missing('fio') }, async (t) => {
  const engines = await run('fio', ['--enghelp'])
  if (!/\bnbd\b/.test(engines.stdout)) return t.comment('this fio has no nbd engine')
  const server = await serve(t, diskImage(), { writable: true })
  await succeeds(t, 'fio', [
    '--name=verify',
    '--ioengine=nbd',
    `--uri=${server.uri}`,
    '--rw=randwrite',
    '--bs=4k',
    '--size=4m',
    '--offset_increment=4m',
    '--numjobs=4',
    '--iodepth=16',
    '--verify=crc32c',
    // Or it would leave files in the folder that the tests run in.
    '--verify_state_save=0',
  ])
})

test('TLS', { skip: missing('nbdinfo', 'nbdcopy', 'openssl') }, async (t) => {
  const folder = t.testdir()
  const openssl = (...args: string[]): SpawnSyncReturns<string> =>
    spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' })
  const request = ['req', '-newkey', 'rsa:2048', '-nodes', '-subj']
  t.equal(
    openssl(...request, '/CN=ca', '-x509', '-days', '2', '-keyout', 'ca-key.pem', '-out', 'ca-cert.pem')
      .status,
    0,
  )
  writeFileSync(join(folder, 'san'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n')
  for (const name of ['server', 'client']) {
    openssl(...request, `/CN=${name}`, '-keyout', `${name}-key.pem`, '-out', `${name}.csr`)
    const { status, stderr } = openssl(
      ...['x509', '-req', '-days', '2', '-in', `${name}.csr`, '-CA', 'ca-cert.pem', '-CAkey', 'ca-key.pem'],
      ...['-CAcreateserial', '-extfile', 'san', '-out', `${name}-cert.pem`],
    )
    t.equal(status, 0, stderr)
  }
  chmodSync(folder, 0o700)
  const pem = (name: string): string => readFileSync(join(folder, `${name}.pem`), 'utf8')
  const image = diskImage()
  const tls = { cert: pem('server-cert'), key: pem('server-key'), ca: pem('ca-cert') }
  const server = await NbdServer.listen(image, { port: 0, host: '127.0.0.1' }, { tls })
  t.teardown(() => server.close())
  t.match(server.uri, /^nbds:\/\/127\.0\.0\.1:\d+$/)

  const copy = join(folder, 'copy')
  await succeeds(t, 'nbdcopy', [`nbds://localhost:${server.port}?tls-certificates=${folder}`, copy])
  t.ok(sameBytes(readFileSync(copy), image.bytes))
  const plain = await run('nbdinfo', [`nbd://localhost:${server.port}`])
  t.not(plain.code, 0, 'without TLS nothing is told')
  t.notMatch(plain.stdout, /export-size/)

  const stranger = await run('nbdinfo', [
    `nbds://localhost:${server.port}?tls-certificates=${join(folder, 'no')}`,
  ])
  t.not(stranger.code, 0, 'nor to a client without a certificate')
})
