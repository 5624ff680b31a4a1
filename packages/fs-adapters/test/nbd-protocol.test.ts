// What the server does with clients that break the protocol, ask for too much, or vanish.
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NbdServer, type NbdServerOptions } from '@platter/fs-adapters/nbd'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { pattern, rejection, sameBytes } from './assertions.ts'
import { MemoryImage } from './memory-image.ts'
import { counted, RawClient, u16, u32, u64 } from './nbd-raw-client.ts'

const EPERM = 1
const EIO = 5
const EINVAL = 22
const ENOSPC = 28
const EOVERFLOW = 75
const IMAGE_BYTES = 300_000

async function serve(
  t: Test,
  options: NbdServerOptions = {},
  image: MemoryImage = new MemoryImage(Buffer.from(pattern(IMAGE_BYTES))),
): Promise<NbdServer> {
  const server = await NbdServer.listen(image, { port: 0 }, { name: 'disk', ...options })
  t.teardown(() => server.close())
  return server
}

test('the greeting, and names of exports', async (t) => {
  const server = await serve(t)
  const client = await RawClient.connect(server)
  const greeting = await client.read(18)
  t.equal(greeting?.toString('latin1', 0, 16), 'NBDMAGICIHAVEOPT')
  t.equal(greeting?.readUInt16BE(16), 3)
  client.send(u32(3))
  t.match(await client.option(7, Buffer.concat([counted('other'), u16(0)])), { type: 0x80000006 })
  const list = await client.option(3)
  t.match(list, { type: 2 })
  t.equal(list?.data.toString('latin1', 4), 'disk')
  t.match(await client.optionReply(), { type: 1 })
  t.match(await client.option(2), { type: 1 }, 'a client may leave')
  t.ok(await client.isCutOff())
})

test('the old way in: by name, with and without zeros', async (t) => {
  const server = await serve(t)
  for (const [flags, length] of [
    [1, 134],
    [3, 10],
  ] as const) {
    const client = await RawClient.connect(server)
    await client.greet(flags)
    client.sendOption(1, Buffer.from('disk'))
    t.equal(Number((await client.read(length))?.readBigUInt64BE(0)), IMAGE_BYTES)
    client.request(0, 10n, 5)
    t.same(await client.simpleReply(), { errno: 0, cookie: 7n })
    t.ok(sameBytes((await client.read(5))!, pattern(IMAGE_BYTES).subarray(10, 15)))
    client.request(2, 0n, 0)
    t.ok(await client.isCutOff())
  }
  const stranger = await RawClient.connect(server)
  await stranger.greet()
  stranger.sendOption(1, Buffer.from('other'))
  t.ok(await stranger.isCutOff())
})

test('options that lie, or are not known', async (t) => {
  const server = await serve(t)
  const client = await RawClient.connect(server)
  await client.greet()
  for (const data of [
    Buffer.alloc(0),
    u32(0xffffffff),
    Buffer.concat([u32(5), Buffer.from('disk')]),
    Buffer.concat([counted('disk'), u16(3)]),
    Buffer.concat([counted('disk'), u16(0), u16(0)]),
  ])
    t.match(await client.option(7, data), { type: 0x80000003 })
  t.match(
    await client.option(10, Buffer.concat([counted(''), u32(0)])),
    { type: 0x80000003 },
    'not structured yet',
  )
  t.match(await client.option(8, u16(1)), { type: 0x80000003 })
  t.match(await client.option(8), { type: 1 })
  for (const data of [
    Buffer.alloc(3),
    counted('disk'),
    Buffer.concat([counted(''), u32(0xffffffff)]),
    u64(1n),
  ])
    t.match(await client.option(10, data), { type: 0x80000003 })
  t.match(await client.option(10, Buffer.concat([counted('other'), u32(0)])), { type: 0x80000006 })
  t.match(await client.option(4711, Buffer.alloc(100)), { type: 0x80000001 })
  t.match(await client.option(5), { type: 0x80000002 }, 'no TLS')
  t.match(await client.option(4711, Buffer.alloc(100_000)), { type: 0x80000009 })
  t.match(
    await client.option(10, Buffer.concat([counted(''), u32(1), counted('x:y')])),
    { type: 1 },
    'none known',
  )
  client.sendOption(7, Buffer.alloc(0), 0xffffffff)
  t.ok(await client.isCutOff())
})

test('no negotiation at all', async (t) => {
  const server = await serve(t)
  for (const words of [
    u32(0xffffffff),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.concat([u32(3), Buffer.alloc(64)]),
  ]) {
    const client = await RawClient.connect(server)
    await client.read(18)
    client.send(words)
    t.ok(await client.isCutOff())
  }
  const endless = await RawClient.connect(server)
  await endless.greet()
  for (let i = 0; i < 256; i++) endless.sendOption(99)
  for (let i = 0; i < 256; i++) await endless.optionReply()
  t.ok(await endless.isCutOff(), 'who never chooses is sent away')

  const slow = await serve(t, { handshakeMillis: 50 })
  const silent = await RawClient.connect(slow)
  await silent.read(18)
  t.ok(await silent.isCutOff())
})

test('requests beyond the image, too long, unknown, or with flags they do not take', async (t) => {
  const server = await serve(t)
  const writable = await serve(t, { writable: true })
  const cases: readonly [NbdServer, number, bigint, number, number, number][] = [
    [server, 0, BigInt(IMAGE_BYTES - 4), 5, 0, EINVAL],
    [server, 0, 2n ** 64n - 1n, 1, 0, EINVAL],
    [server, 0, 2n ** 63n, 0xffffffff, 0, EINVAL],
    [server, 0, 0n, 4, 1 << 4, EINVAL],
    [server, 4, 0n, 4, 0, EPERM],
    [server, 6, 0n, 4, 0, EPERM],
    [server, 3, 0n, 0, 0, EPERM],
    [server, 7, 0n, 4, 0, EINVAL],
    [server, 5, BigInt(IMAGE_BYTES), 4, 0, EINVAL],
    [server, 99, 0n, 0, 0, EINVAL],
    [writable, 4, BigInt(IMAGE_BYTES - 3), 4, 0, ENOSPC],
    [writable, 6, 2n ** 62n, 4, 0, ENOSPC],
    [writable, 6, 0n, 4, 1 << 4, EINVAL],
  ]
  for (const [on, command, offset, length, flags, errno] of cases) {
    const client = await RawClient.connect(on)
    await client.go(false)
    client.request(command, offset, length, { flags })
    t.same(await client.simpleReply(), { errno, cookie: 7n }, `command ${command} of ${length} at ${offset}`)
    client.request(0, 0n, 1)
    t.equal((await client.simpleReply())?.errno, 0, 'and the connection goes on')
    client.socket.destroy()
  }
  const client = await RawClient.connect(writable)
  await client.go(true)
  client.request(1, BigInt(IMAGE_BYTES - 1), 4)
  client.send(Buffer.from('data'))
  const refused = await client.chunk()
  t.equal(refused?.data.readUInt32BE(0), ENOSPC)
  t.match(refused?.data.toString('utf8', 6), /ends at byte 300000/)
  client.request(1, 0n, 40 * 1024 * 1024)
  t.ok(await client.isCutOff(), 'a payload nobody takes')
})

test('a read that is too long for one reply', async (t) => {
  const server = await serve(t, {}, new MemoryImage(Buffer.alloc(40 * 1024 * 1024)))
  const client = await RawClient.connect(server)
  await client.go(true)
  client.request(0, 0n, 33 * 1024 * 1024)
  t.equal((await client.chunk())?.data.readUInt32BE(0), EOVERFLOW)
  client.request(0, 0n, 32 * 1024 * 1024)
  const hole = await client.chunk()
  t.match(hole, { type: 2, flags: 1 })
  t.equal(hole?.data.readUInt32BE(8), 32 * 1024 * 1024)
})

test('a part that cannot be read is an I/O error with a reason, and the rest goes on', async (t) => {
  const image = new MemoryImage(Buffer.from(pattern(IMAGE_BYTES)))
  image.failAt = 200_000
  const errors: unknown[] = []
  const server = await serve(t, { onError: (error) => errors.push(error) }, image)
  const client = await RawClient.connect(server)
  await client.go(true)
  client.request(0, 199_990n, 100)
  const failed = await client.chunk()
  t.equal(failed?.type, 0x8001)
  t.equal(failed?.data.readUInt32BE(0), EIO)
  t.match(failed?.data.toString('utf8', 6), /Nothing can be read at 200000/)
  t.match(errors, [/Nothing can be read/])
  client.request(0, 0n, 100, { cookie: 8n })
  t.match(await client.chunk(), { type: 1, cookie: 8n })
})

test('block status: one range where one is wanted, and none behind the end', async (t) => {
  const bytes = Buffer.alloc(5 * 65536)
  bytes.fill(1, 65536, 2 * 65536)
  const server = await serve(t, {}, new MemoryImage(bytes))
  const client = await RawClient.connect(server)
  await client.go(true, ['base:allocation'])
  const status = async (offset: number, length: number, flags = 0): Promise<number[]> => {
    client.request(7, BigInt(offset), length, { flags })
    const { data, type } = (await client.chunk())!
    t.equal(type, 5)
    t.equal(data.readUInt32BE(0), 1)
    return Array.from({ length: (data.length - 4) / 4 }, (_, i) => data.readUInt32BE(4 + 4 * i))
  }
  t.same(await status(0, bytes.length), [65536, 3, 65536, 0, 3 * 65536, 3])
  t.same(await status(100, 65536), [65436, 3, 100, 0])
  t.same(await status(100, bytes.length - 100, 8), [65436, 3])
  client.request(7, 0n, 0)
  t.match(await client.chunk(), { type: 0x8001 })
})

test('clients that vanish do no harm', async (t) => {
  const server = await serve(
    t,
    { writable: true, maxBytesInFlight: 1 },
    new MemoryImage(Buffer.alloc(64 * 1024 * 1024, 1)),
  )
  for (let i = 0; i < 8; i++) {
    const client = await RawClient.connect(server)
    await client.go(true)
    for (let n = 0; n < 40; n++) client.request(0, BigInt(n) * 1_000_000n, 1_000_000)
    if (i % 2 === 0) await client.read(1000)
    if (i % 3 === 0) client.request(1, 0n, 1_000_000)
    client.socket.destroy()
  }
  const client = await RawClient.connect(server)
  await client.go(false)
  client.request(0, 0n, 1)
  t.same(await client.simpleReply(), { errno: 0, cookie: 7n })
  t.same(await client.read(1), Buffer.from([1]))
})

test('a client that only takes does not keep the server open', async (t) => {
  const server = await serve(t, {}, new MemoryImage(Buffer.alloc(64 * 1024 * 1024, 1)))
  const client = await RawClient.connect(server)
  await client.go(true)
  client.socket.pause()
  for (let n = 0; n < 40; n++) client.request(0, 0n, 32 * 1024 * 1024)
  await new Promise((resolve) => setTimeout(resolve, 50))
  await server.close()
  t.equal(server.connections, 0)
})

test('requests in any order at once give what was asked for', async (t) => {
  const bytes = Buffer.from(pattern(IMAGE_BYTES))
  const server = await serve(t, {}, new MemoryImage(bytes))
  const client = await RawClient.connect(server)
  await client.go(true)
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(IMAGE_BYTES - 1), fc.integer({ min: 1, max: 100_000 })), {
        minLength: 1,
        maxLength: 50,
      }),
      async (reads) => {
        const expected = new Map<bigint, Buffer>()
        for (const [i, [offset, wanted]] of reads.entries()) {
          const length = Math.min(wanted, IMAGE_BYTES - offset)
          expected.set(BigInt(i), bytes.subarray(offset, offset + length))
          client.request(0, BigInt(offset), length, { flags: 4, cookie: BigInt(i) })
        }
        for (let left = reads.length; left > 0; left--) {
          const { cookie, data, flags } = (await client.chunk())!
          if (flags !== 1 || !sameBytes(data.subarray(8), expected.get(cookie)!)) return false
        }
        return true
      },
    ),
    { numRuns: 50 },
  )
  t.pass()
})

test('random bytes in place of requests', async (t) => {
  const server = await serve(t, { writable: true })
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 28, maxLength: 400 }),
      fc.boolean(),
      async (bytes, asOption) => {
        const client = await RawClient.connect(server)
        if (asOption) await client.greet()
        else await client.go(true)
        client.send(bytes)
        client.socket.end()
        while ((await client.read(1)) !== undefined);
        return true
      },
    ),
    { numRuns: 200 },
  )
  const client = await RawClient.connect(server)
  await client.go(false)
  client.request(0, 0n, 1)
  t.same(await client.simpleReply(), { errno: 0, cookie: 7n })
})

test('where it listens', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'platter-nbd-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const image = new MemoryImage(Buffer.alloc(10))
  const path = join(folder, 'a b.sock')
  const server = await NbdServer.listen(image, { path }, { name: 'web 01/sda' })
  t.equal(server.uri, `nbd+unix:///web%2001%2Fsda?socket=${folder}/a%20b.sock`)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.match(await rejection(NbdServer.listen(image, { path }), 'ERR_LISTEN'), {
    details: { systemCode: 'EADDRINUSE' },
  })
  await server.close()
  t.notOk(existsSync(path))
  await server.close()

  writeFileSync(path, 'not a socket')
  await rejection(NbdServer.listen(image, { path }), 'ERR_LISTEN')
  await rejection(NbdServer.listen(image, { path: join(folder, 'x'.repeat(200)) }), 'ERR_INVALID_ARGUMENT')
  await rejection(NbdServer.listen(image, { path: join(folder, 'none', 'x') }), 'ERR_LISTEN')
  await rejection(NbdServer.listen(image, { port: 70_000 }), 'ERR_INVALID_ARGUMENT')
  await rejection(NbdServer.listen(image, { port: 0 }, { name: 'x'.repeat(5000) }), 'ERR_INVALID_ARGUMENT')
  await rejection(
    NbdServer.listen(image, { port: 0 }, { tls: { cert: 'x', key: 'y' } }),
    'ERR_INVALID_ARGUMENT',
  )
  const readOnly = { sizeBytes: 1, readInto: image.readInto.bind(image), extents: image.extents.bind(image) }
  await rejection(NbdServer.listen(readOnly, { port: 0 }, { writable: true }), 'ERR_INVALID_ARGUMENT')
})
