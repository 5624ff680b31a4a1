// Snapshots as live disks, through the command and the clients people use.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { answer, call, errorOf, noise, type Running, start, writeImage } from './harness.ts'

const MIB = 1024 * 1024
const IMAGE_BYTES = 20 * MIB

function missing(...tools: readonly string[]): string | false {
  const absent = tools.filter((tool) => spawnSync('which', [tool]).status !== 0)
  return absent.length > 0 && `${absent.join(', ')} not installed`
}

/** A folder whose path is short enough for sockets. */
function shortFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'platter-serve-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

async function repositoryWithTwo(folder: string): Promise<{ repo: string; image: Buffer; first: Buffer }> {
  const repo = join(folder, 'repo')
  const disk = join(folder, 'disk.img')
  await answer(['init', repo, '--no-encryption'])
  const first = await writeImage(disk, IMAGE_BYTES, [[0, noise(3 * MIB, 'a')]])
  await answer(['backup', repo, disk, '--name', 'web 01/sda'])
  const image = await writeImage(disk, IMAGE_BYTES, [
    [0, noise(3 * MIB, 'a')],
    [9 * MIB, noise(MIB, 'b')],
  ])
  await answer(['backup', repo, disk, '--name', 'web 01/sda'])
  return { repo, image, first }
}

/** Starts `platter serve` and waits for its address. */
async function serve(t: Test, argv: readonly string[]): Promise<{ server: Running; uri: string }> {
  const server = start(['serve', ...argv, '--json'])
  t.teardown(() => server.kill('SIGKILL'))
  const line = await new Promise<string>((resolve, reject) => {
    let text = ''
    server.stdout.on('data', (piece: Buffer) => {
      text += piece.toString()
      if (text.includes('\n')) resolve(text)
    })
    server.ended.then(({ stderr }) => reject(new Error(stderr)), reject)
  })
  return { server, uri: JSON.parse(line).uri }
}

function run(
  tool: string,
  ...args: readonly string[]
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(tool, args, { encoding: 'utf8' })
}

test('a snapshot as a disk', { skip: missing('nbdcopy', 'nbdinfo') }, async (t) => {
  const folder = shortFolder(t)
  const { repo, image, first } = await repositoryWithTwo(folder)
  const socket = join(folder, 'a.sock')
  const { server, uri } = await serve(t, [repo, 'latest', '--socket', socket])
  t.equal(uri, `nbd+unix:///web%2001%2Fsda?socket=${socket}`)
  t.equal(run('nbdcopy', uri, join(folder, 'copy')).status, 0)
  t.ok((await readFile(join(folder, 'copy'))).equals(image))

  const map = JSON.parse(run('nbdinfo', '--json', '--map=platter:changed-since-parent', uri).stdout)
  let changed = 0
  for (const { offset, length, type } of map) {
    if (type === 1) changed += length
    else t.ok(first.subarray(offset, offset + length).equals(image.subarray(offset, offset + length)))
  }
  t.ok(changed >= MIB && changed < 4 * MIB, `${changed} bytes changed`)

  server.kill('SIGTERM')
  t.match(await server.ended, { code: 0, stderr: '' })
  await t.rejects(stat(socket), 'the socket is gone')
})

test('an overlay, and what becomes of it', { skip: missing('qemu-io', 'nbdcopy') }, async (t) => {
  const folder = shortFolder(t)
  const { repo, image } = await repositoryWithTwo(folder)
  const overlay = join(folder, 'overlay')
  const options = ['--overlay', overlay, '--port', '0']
  const first = await serve(t, [repo, 'latest', ...options])
  t.match(first.uri, /^nbd:\/\/127\.0\.0\.1:\d+\/web/)
  const taken = await call(['serve', repo, 'latest', ...options, '--json'])
  t.match(errorOf(taken), { code: 'ERR_OVERLAY_IN_USE' })
  t.match(errorOf(await call(['commit', repo, overlay, '--json'])), { code: 'ERR_OVERLAY_IN_USE' })
  const write = ['-c', 'write -P 0x77 1234567 100000', '-c', 'write -z 0 64k', '-c', 'flush']
  t.equal(run('qemu-io', '-f', 'raw', ...write, first.uri).status, 0)
  first.server.kill('SIGKILL')
  await first.server.ended

  const expected = Buffer.from(image)
  expected.fill(0x77, 1234567, 1334567)
  expected.fill(0, 0, 65536)
  const second = await serve(t, [repo, 'latest', ...options])
  t.equal(run('nbdcopy', second.uri, join(folder, 'copy')).status, 0)
  t.ok((await readFile(join(folder, 'copy'))).equals(expected), 'what was flushed is there again')
  second.server.kill('SIGINT')
  t.equal((await second.server.ended).code, 0)

  const { snapshot, base } = await answer(['commit', repo, overlay, '--tag', 'repaired'])
  const shown = await answer(['show', repo, String(snapshot)])
  t.match(shown, { name: 'web 01/sda', tags: ['repaired'] })
  t.equal((await answer(['show', repo, String(base)])).id, base)
  t.equal((await call(['restore', repo, String(snapshot), join(folder, 'restored')])).code, 0)
  t.ok((await readFile(join(folder, 'restored'))).equals(expected))
  t.equal((await call(['restore', repo, String(base), join(folder, 'old')])).code, 0)
  t.ok((await readFile(join(folder, 'old'))).equals(image), 'the base is what it was')

  t.match(errorOf(await call(['serve', repo, String(snapshot), ...options, '--json'])), {
    code: 'ERR_OVERLAY_INVALID',
  })
})

test('bad input', async (t) => {
  const folder = shortFolder(t)
  const { repo } = await repositoryWithTwo(folder)
  const failing = async (...argv: string[]): Promise<{ code: string; message: string }> =>
    errorOf(await call(['serve', repo, ...argv, '--json']))
  t.match(await failing('nothing'), { code: 'ERR_SNAPSHOT_NOT_FOUND' })
  t.match(await failing('latest', '--port', 'x'), { code: 'ERR_USAGE' })
  t.match(await failing('latest', '--port', '70000'), { code: 'ERR_USAGE' })
  t.match(await failing('latest', '--port', '1', '--socket', 'x'), { code: 'ERR_USAGE' })
  t.match(await failing('latest', '--bind', '::1'), { code: 'ERR_USAGE' })
  t.match(await failing('latest', '--tls-cert', 'x'), { code: 'ERR_USAGE' })
  t.match(await failing('latest', '--tls-cert', 'x', '--tls-key', 'y'), {
    code: 'ERR_INVALID_ARGUMENT',
    message: /'x'/,
  })
  t.match(await failing('latest', '--cache', 'much'), { code: 'ERR_USAGE' })
  t.match(await failing('latest', '--socket', join(folder, 'none', 'x')), { code: 'ERR_LISTEN' })
  t.match(await failing('latest', '--overlay', join(repo, 'config')), {
    code: /ERR_OVERLAY_INVALID|ERR_TARGET_ACCESS/,
  })
  t.match(errorOf(await call(['commit', repo, join(folder, 'none'), '--json'])), {
    code: 'ERR_TARGET_NOT_FOUND',
  })
  t.match(errorOf(await call(['commit', repo, join(folder, 'disk.img'), '--json'])), {
    code: 'ERR_OVERLAY_INVALID',
  })
})
