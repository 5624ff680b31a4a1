import { execFile } from 'node:child_process'
import {
  appendFile,
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  symlink,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { LocalStore, openSource } from '@platter/fs-adapters'
import { Repository, type Snapshot } from '@platter/repo'
import { type Test, test } from 'tap'
import { answer, call, errorOf, filesIn, noise, platter, start, writeImage } from './harness.ts'

const run = promisify(execFile)
const MIB = 1024 ** 2
const asRoot = process.getuid?.() === 0

/** A folder with a repository in it, and the image `disk.img` backed up once. */
async function withBackup(
  t: Test,
  content = noise(2 * MIB, 'disk'),
): Promise<{ folder: string; repo: string; disk: string }> {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  const disk = join(folder, 'disk.img')
  await writeFile(disk, content)
  await answer(['init', repo, '--no-encryption'])
  await answer(['backup', repo, disk, '--name', 'disk'])
  return { folder, repo, disk }
}

/** Runs a command line that must fail, and gives its error. */
async function failing(argv: readonly string[]): Promise<{ code: string; message: string; hint?: string }> {
  const outcome = await call([...argv, '--json'])
  if (outcome.code !== 1) throw new Error(`platter ${argv.join(' ')} ended with ${outcome.code}`)
  if (outcome.stdout !== '') throw new Error(`A failure has no result: ${outcome.stdout}`)
  return errorOf(outcome)
}

async function snapshotCount(repo: string): Promise<number> {
  return (await answer<{ snapshots: Snapshot[] }>(['snapshots', repo])).snapshots.length
}

test('sources that cannot be backed up', async (t) => {
  const { folder, repo, disk } = await withBackup(t)
  const missing = join(folder, 'missing.img')
  t.match(await failing(['backup', repo, missing]), { code: 'ERR_SOURCE_NOT_FOUND', message: missing })
  t.match(await failing(['backup', repo, folder]), { code: 'ERR_SOURCE_IS_DIRECTORY', message: folder })
  t.match(await failing(['backup', repo, '/dev/zero']), { code: 'ERR_SOURCE_UNSUPPORTED' })

  const inside = join(repo, 'config')
  t.match(await failing(['backup', repo, inside]), { code: 'ERR_SOURCE_UNSUPPORTED', message: /into itself/ })
  await symlink(inside, join(folder, 'link'))
  t.match(await failing(['backup', repo, join(folder, 'link')]), { message: /into itself/ })

  const text = await call(['backup', repo, missing])
  t.match(text.stderr, /^platter: .*missing\.img.* \(ERR_SOURCE_NOT_FOUND\)\n$/)
  t.notMatch(text.stderr, /^ {4}at /m, 'no stack trace')
  const debug = await call(['backup', repo, missing], { env: { PLATTER_DEBUG: '1' } })
  t.match(debug.stderr, /^ {4}at /m, 'a stack trace where it was asked for')

  await chmod(disk, 0)
  if (asRoot && (await start(['--version'], { uid: 65534 }).ended).code !== 0) {
    t.comment('somebody else cannot run this Node, which lies in a folder of root only')
  } else if (asRoot) {
    // Root may read anything, so the command has to run as someone else.
    await run('chown', ['-R', '65534', repo])
    const child = start(['backup', repo, disk, '--json', '--no-progress'], { uid: 65534 })
    const { code, stderr } = await child.ended
    t.equal(code, 1)
    t.match(errorOf({ stderr }), { code: 'ERR_SOURCE_ACCESS', message: /permission denied/ })
  } else {
    t.match(await failing(['backup', repo, disk]), { code: 'ERR_SOURCE_ACCESS' })
  }
  t.equal(await snapshotCount(repo), 1)
})

test('images of odd sizes are images', async (t) => {
  const folder = t.testdir()
  const repo = join(folder, 'repo')
  await answer(['init', repo, '--no-encryption'])
  for (const size of [0, 1, 511, 513, 4095, 4097, 65_537, MIB + 1]) {
    const bytes = noise(size, `size ${size}`)
    const disk = join(folder, `${size}.img`)
    const target = join(folder, `${size}.restored`)
    await writeFile(disk, bytes)
    const made = await answer(['backup', repo, disk, '--name', `size-${size}`])
    t.equal(made.bytesTotal, size)
    await answer(['restore', repo, `latest:size-${size}`, target])
    t.ok(bytes.equals(await readFile(target)), `${size} bytes`)
  }
  t.match((await call(['snapshots', repo])).stdout, ' 0 B ')
  t.match((await call(['show', repo, 'latest:size-0'])).stdout, /^image +0 bytes$/m)

  const empty = await platter(
    ['backup', repo, '-', '--name', 'nothing', '--json', '--workers', '0'],
    new Uint8Array(),
  )
  t.equal(empty.code, 0, empty.stderr)
  t.equal((JSON.parse(empty.stdout) as { bytesTotal: number }).bytesTotal, 0)
  const back = await platter(['restore', repo, 'latest:nothing', '-', '--workers', '0'])
  t.equal(back.code, 0)
  t.equal(back.bytes.length, 0)
})

test('targets that cannot be restored to', async (t) => {
  const { folder, repo } = await withBackup(t)
  t.match(await failing(['restore', repo, 'latest', folder]), {
    code: 'ERR_TARGET_UNSUPPORTED',
    message: /folder/,
  })
  const nowhere = join(folder, 'no', 'such', 'folder', 'x.img')
  t.match(await failing(['restore', repo, 'latest', nowhere]), { code: 'ERR_TARGET_NOT_FOUND' })

  const before = (await readdir(repo, { recursive: true })).sort()
  for (const target of [repo, join(repo, 'new.img'), join(repo, 'config'), `${repo}/packs/../config`]) {
    const error = await failing(['restore', repo, 'latest', target, '--force'])
    t.match(error, { code: 'ERR_TARGET_UNSUPPORTED', message: /lies in the repository/ })
  }
  t.same((await readdir(repo, { recursive: true })).sort(), before)
  t.match(await answer(['check', repo, '--read-data']), { findings: [] })
})

test('devices that are too small or mounted', { skip: asRoot ? false : 'needs root' }, async (t) => {
  const { folder, repo } = await withBackup(t)
  const image = join(folder, 'device.img')
  await writeImage(image, MIB, [])
  const small = await withDevice(image, async (device) => {
    t.match(await failing(['restore', repo, 'latest', device]), { code: 'ERR_TARGET_TOO_SMALL' })
  })
  if (!small) return void t.pass('no loop device is to be had', { skip: true })

  await truncate(image, 4 * MIB)
  await run('mkfs.ext4', ['-q', '-F', image])
  const mountPoint = join(folder, 'mnt')
  await mkdir(mountPoint)
  await withDevice(image, async (device) => {
    await withMount([device], mountPoint, async () => {
      const refused = await failing(['restore', repo, 'latest', device])
      t.match(refused, { code: 'ERR_TARGET_MOUNTED', message: mountPoint, hint: /Unmount it/ })

      const onIt = join(mountPoint, 'repo')
      await answer(['init', onIt, '--no-encryption'])
      const own = await failing(['restore', onIt, 'latest', device, '--force'])
      t.match(own, { code: 'ERR_TARGET_UNSUPPORTED', message: /is stored on/ })

      const live = await call(['backup', repo, device, '--name', 'live', '--json'])
      t.equal(live.code, 0, 'a mounted device is backed up')
      const warning = { code: 'WARN_SOURCE_MOUNTED', message: `mounted for writing at ${mountPoint}` }
      t.match(JSON.parse(live.stdout), { warnings: [warning] })
      t.match(live.stderr, /"warning":\{"code":"WARN_SOURCE_MOUNTED"/)
      const plain = await call(['backup', repo, device, '--name', 'live'])
      t.match(
        plain.stderr,
        /^platter: warning: .* is in use: mounted for writing at .*WARN_SOURCE_MOUNTED\)$/m,
      )
    })
    const before = await readFile(device)
    t.match(await answer(['backup', repo, device, '--name', 'device', '--exact']), { warnings: [] })
    await answer(['restore', repo, 'latest:disk', device])
    t.notOk(before.equals(await readFile(device)))
    await answer(['restore', repo, 'latest:device', device])
    t.ok(before.equals(await readFile(device)), 'a device goes in and out like a file')
    await run('e2fsck', ['-fn', device])
  })
})

/** Runs `use` with a block device whose content is `image`; false when there is none to be had. */
async function withDevice(image: string, use: (device: string) => Promise<void>): Promise<boolean> {
  const device = await attach(image)
  if (device === undefined) return false
  try {
    await use(device)
  } finally {
    await run('losetup', ['-d', device])
  }
  return true
}

async function attach(image: string): Promise<string | undefined> {
  return await run('losetup', ['-f', '--show', image]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )
}

test('a full disk stops a backup and costs nothing else', {
  skip: asRoot ? false : 'needs root',
}, async (t) => {
  const folder = t.testdir()
  const small = join(folder, 'small')
  await mkdir(small)
  const mounted = await withMount(['-t', 'tmpfs', '-o', 'size=10m', 'tmpfs'], small, async () => {
    const repo = join(small, 'repo')
    const disk = join(folder, 'disk.img')
    await answer(['init', repo, '--no-encryption'])
    await writeFile(disk, noise(4 * MIB, 'fits'))
    await answer(['backup', repo, disk])
    await writeFile(disk, noise(16 * MIB, 'does not fit'))
    t.match(await failing(['backup', repo, disk]), { code: 'ERR_STORE_FULL', hint: /intact/ })
    t.equal(await snapshotCount(repo), 1)
    t.match(await answer(['check', repo, '--read-data']), { findings: [] })
    t.match(await failing(['restore', repo, 'latest', join(small, 'x.img')]), { code: 'ERR_TARGET_FULL' })
  })
  if (!mounted) t.pass('nothing can be mounted here', { skip: true })
})

/** Runs `use` while `what` is mounted at `folder`; false when it cannot be mounted. */
async function withMount(
  what: readonly string[],
  folder: string,
  use: () => Promise<void>,
): Promise<boolean> {
  try {
    await run('mount', [...what, folder])
  } catch {
    return false
  }
  try {
    await use()
  } finally {
    await run('umount', [folder])
  }
  return true
}

test('what is no repository', async (t) => {
  const folder = t.testdir({ empty: {}, file: 'x', source: 'x' })
  for (const path of ['empty', 'missing', 'file']) {
    for (const argv of [
      ['snapshots', join(folder, path)],
      ['stats', join(folder, path)],
      ['check', join(folder, path)],
      ['backup', join(folder, path), join(folder, 'source')],
      ['restore', join(folder, path), 'latest', join(folder, 'target')],
    ]) {
      const expected =
        path === 'file'
          ? { code: 'ERR_STORE_UNSUPPORTED', message: /'.*file' cannot be a store: .* is a file/ }
          : { code: 'ERR_REPOSITORY_NOT_FOUND' }
      t.match(await failing(argv), expected)
    }
  }
  t.same((await readdir(folder)).sort(), ['empty', 'file', 'source'], 'nothing was created')
  t.match(await failing(['stats', join(folder, 'empty')]), { hint: /platter init REPO/ })
})

test('snapshots that are unknown or ambiguous', async (t) => {
  const { repo, disk } = await withBackup(t)
  for (const reference of ['ffffffff', 'latest:other', 'nonsense', 'f', 'a'.repeat(32), '../config']) {
    for (const command of ['show', 'forget', 'restore']) {
      const target = command === 'restore' ? [`${disk}.restored`] : []
      const { code } = await failing([command, repo, reference, ...target])
      t.match(code, /^ERR_(SNAPSHOT_NOT_FOUND|INVALID_ARGUMENT)$/, `${command} ${reference}`)
    }
  }
  t.match(await failing(['show', repo, 'ffffffff']), { hint: /platter snapshots/ })

  // Two ids that begin alike do not come by chance.
  let count = 0
  const random = (length: number): Uint8Array => new Uint8Array(length).fill(0xab, 0, 4).fill(++count, 4)
  const twins = await Repository.open(new LocalStore(repo), { random })
  for (let n = 0; n < 2; n++) {
    await using source = await openSource(disk)
    await twins.backup(source, { name: 'twin', workers: 0 })
  }
  await twins.close()
  const ambiguous = await failing(['restore', repo, 'abab', `${disk}.restored`])
  t.match(ambiguous, {
    code: 'ERR_SNAPSHOT_AMBIGUOUS',
    hint: /It fits abababab\w+, abababab\w+\. Give more digits/,
  })
  t.match(await failing(['forget', repo, 'abababab']), { code: 'ERR_SNAPSHOT_AMBIGUOUS' })
  t.equal(await snapshotCount(repo), 3)
})

test('a repository with damage says where', async (t) => {
  const { repo, disk } = await withBackup(t)
  // Sessions only matter while a backup runs, and nothing reads what only keeps space back.
  const unread = [join(repo, 'sessions'), join(repo, '.tmp')]
  const paths = (await filesIn(repo)).filter((path) => !unread.some((folder) => path.startsWith(folder)))
  t.ok(paths.length >= 4, 'config, packs, index and snapshot')

  for (const path of paths) {
    const original = await readFile(path)
    const object = path.slice(repo.length + 1)
    for (const [how, damage] of DAMAGE) {
      await damage(path, original)
      const target = `${disk}.restored`
      const restored = await call(['restore', repo, 'latest', target, '--force', '--json'])
      const checked = await call(['check', repo, '--read-data', '--json'])
      t.not(checked.code, 0, `check sees ${object} ${how}`)
      if (checked.code === 3) {
        for (const { code } of (JSON.parse(checked.stdout) as { findings: { code: string }[] }).findings) {
          t.match(code, /^ERR_(CORRUPT|CHUNK|DIGEST|NOT_FOUND|UNSUPPORTED)/)
        }
      } else
        t.match(
          errorOf(checked).code,
          /^ERR_(CORRUPT|UNSUPPORTED|REPOSITORY_NOT_FOUND)/,
          `check with ${object} ${how}`,
        )
      if (restored.code === 0)
        t.same(await readFile(target), await readFile(disk), `${object} ${how} was not needed`)
      else t.match(errorOf(restored).code, /^ERR_(?!INTERNAL)/, `restore with ${object} ${how}`)
      await writeFile(path, original)
    }
  }
  t.match(await answer(['check', repo, '--read-data']), { findings: [] }, 'all is well again')
})

const DAMAGE: [how: string, (path: string, original: Buffer) => Promise<void>][] = [
  ['changed', async (path, original) => await overwrite(path, original.length >> 1, original)],
  ['changed at its start', async (path, original) => await overwrite(path, 0, original)],
  ['cut', async (path, original) => await truncate(path, original.length - 1)],
  ['emptied', async (path) => await truncate(path, 0)],
  ['extended', async (path) => await appendFile(path, 'x')],
]

async function overwrite(path: string, offset: number, original: Buffer): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(Buffer.from([original[offset]! ^ 0xff]), 0, 1, offset)
  await file.close()
}

test('a snapshot that is gone, a pack that is gone', async (t) => {
  const { repo, disk } = await withBackup(t)
  for (const pack of await filesIn(join(repo, 'packs'))) await unlink(pack)
  t.equal((await call(['check', repo])).code, 3)
  const { code } = await failing(['restore', repo, 'latest', `${disk}.restored`])
  t.match(code, /^ERR_(CHUNK_MISSING|CORRUPT|NOT_FOUND)/)
})

test('a backup that is killed leaves nothing, and the next one works', async (t) => {
  const { folder, repo } = await withBackup(t)
  const bytes = noise(48 * MIB, 'stream')
  for (const [signal, quantity] of [
    ['SIGKILL', 40 * MIB],
    ['SIGKILL', 1],
    ['SIGINT', 40 * MIB],
    ['SIGTERM', 40 * MIB],
  ] as const) {
    // The input does not end, so the backup cannot be over before the signal comes.
    const packs = (await filesIn(join(repo, 'packs'))).length
    const child = start(['backup', repo, '-', '--name', 'cut-off', '--json', '--workers', '1'])
    // Other bytes each time: an interrupted backup lists what it stored, and the next one finds it.
    child.stdin.write(noise(quantity, `${signal} ${packs}`))
    await child.says('"phase":"reading"')
    if (quantity > MIB) await stored(repo, packs)
    child.kill(signal)
    const ended = await child.ended
    if (signal === 'SIGKILL') t.equal(ended.signal, 'SIGKILL')
    else {
      t.equal(ended.code, 1)
      t.match(errorOf(ended), {
        code: 'ERR_INTERRUPTED',
        message: `Interrupted by ${signal}.`,
        hint: /No snapshot/,
      })
    }
    t.equal(ended.stdout.length, 0)
    t.equal(await snapshotCount(repo), 1, `nothing is seen of it after ${signal}`)
    t.match(await answer(['check', repo, '--read-data']), { findings: [] })
  }

  const disk = join(folder, 'large.img')
  await writeFile(disk, bytes)
  await answer(['backup', repo, disk, '--name', 'cut-off'])
  await answer(['restore', repo, 'latest:cut-off', `${disk}.restored`])
  t.ok(bytes.equals(await readFile(`${disk}.restored`)))
})

/** Resolves when there are more than `before` packs. */
async function stored(repo: string, before: number): Promise<void> {
  for (;;) {
    if ((await filesIn(join(repo, 'packs'))).length > before) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('two backups at once', async (t) => {
  const { folder, repo } = await withBackup(t)
  const shared = noise(8 * MIB, 'shared')
  const images = ['one', 'two'].map((name) => ({ name, bytes: Buffer.concat([shared, noise(MIB, name)]) }))
  const running = images.map(async ({ name, bytes }) => {
    await writeFile(join(folder, name), bytes)
    return await platter(['backup', repo, join(folder, name), '--name', name, '--workers', '1'])
  })
  for (const { code, stderr } of await Promise.all(running)) t.equal(code, 0, stderr)
  for (const { name, bytes } of images) {
    const target = join(folder, `${name}.restored`)
    await answer(['restore', repo, `latest:${name}`, target])
    t.ok(bytes.equals(await readFile(target)), name)
  }
  t.match(await answer(['check', repo, '--read-data']), { findings: [], snapshots: 3 })
})

test('an interrupted restore says that the target is incomplete', async (t) => {
  const { repo } = await withBackup(t, noise(16 * MIB, 'disk'))
  // Nobody reads the output, so the restore cannot be over before the signal comes.
  const child = start(['restore', repo, 'latest', '-', '--json', '--workers', '1'])
  child.stdout.pause()
  await child.says('"command":"restore"')
  child.kill('SIGINT')
  const ended = await child.ended
  t.equal(ended.code, 1)
  t.match(errorOf(ended), { code: 'ERR_INTERRUPTED' })
  t.match(ended.stderr, '{"warning":{"code":"WARN_TARGET_INCOMPLETE"')
})

test('an abort in the process itself', async (t) => {
  const { repo, disk } = await withBackup(t)
  const outcome = await call(['backup', repo, disk], { signal: AbortSignal.abort() })
  t.equal(outcome.code, 1)
  t.match(outcome.stderr, /^platter: Interrupted\. \(ERR_INTERRUPTED\)\n {2}No snapshot was made/)
  t.equal(await snapshotCount(repo), 1)
})
