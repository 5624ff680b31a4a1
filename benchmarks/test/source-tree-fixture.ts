import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Makes a folder with files such as a system has, and with some that must not get onto a disk. */
export async function makeSourceTree(root: string): Promise<void> {
  for (let directory = 0; directory < 24; directory++) {
    const folder = join(root, directory % 2 === 0 ? 'share' : 'lib', `package-${directory}`)
    await mkdir(folder, { recursive: true })
    for (let file = 0; file < 8; file++) {
      const line = `package ${directory}, file ${file}\n`
      await writeFile(join(folder, `file-${file}.txt`), line.repeat((directory * 97 + file * 389) % 3000))
    }
  }
  await mkdir(join(root, 'odd'))
  await writeFile(join(root, 'odd', 'a secret'), 'not for everybody', { mode: 0o600 })
  await writeFile(join(root, 'odd', 'name with a space'), 'cannot be quoted')
  await writeFile(join(root, 'odd', '<12>'), 'looks like an inode number')
  await symlink('/etc/hostname', join(root, 'odd', 'link'))
}
