import { access } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { runTool } from '../measure/tool.ts'
import type { NodeRuntime } from './node-runtime.ts'
import { type Peer, REPOSITORY_SCENARIOS, type Site, wholeImage } from './peer.ts'

/** platter as its users run it: the built command in a process of its own; encrypted, or not. */
export function platterOn(node: NodeRuntime, id: string, encrypted: boolean): Peer {
  const run = (site: Site, args: readonly string[]) => ({
    program: node.path,
    args: [BIN, ...args],
    env: {
      HOME: site.home,
      XDG_CACHE_HOME: `${site.home}/cache`,
      XDG_CONFIG_HOME: `${site.home}/config`,
      ...(encrypted ? { PLATTER_PASSPHRASE_FILE: PASSPHRASE_FILE } : {}),
    },
  })
  const protection = encrypted ? 'encrypted with a passphrase' : 'unencrypted'
  return {
    id,
    title: `platter (Node ${node.major}, ${node.codec}${encrypted ? ', encrypted' : ''})`,
    settings: `Node ${node.version}, ${node.codec}, ${protection}, every other setting by default`,
    readsHoles: false,
    scenarios: REPOSITORY_SCENARIOS,
    version: () => builtVersion(node),
    input: wholeImage,
    create: (site) => [run(site, ['init', site.repo, ...(encrypted ? [] : ['--no-encryption'])])],
    backup: (site, image) => ({
      ...run(site, ['backup', site.repo, image.path, '--name', 'disk', '--exact', '--json']),
      stdout: { to: 'caller' },
    }),
    readBack: (site) => run(site, ['restore', site.repo, 'latest', '-']),
    restore: (site, _image, _archive, target) => run(site, ['restore', site.repo, 'latest', target]),
    check: (site) => ({
      ...run(site, ['check', site.repo, '--read-data', '--json']),
      stdout: { to: 'caller' },
    }),
  }
}

/** Any file will do: what is in it has no influence on speed. */
const PASSPHRASE_FILE = fileURLToPath(new URL('../../passphrase', import.meta.url))
const BIN = fileURLToPath(new URL('../../../packages/cli/dist/bin.js', import.meta.url))

async function builtVersion(node: NodeRuntime): Promise<string | undefined> {
  const built = await access(BIN).then(
    () => true,
    () => false,
  )
  if (!built) return undefined
  const { code, stdout } = await runTool(node.path, [BIN, '--version'])
  return code === 0 ? (/(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] ?? 'unknown version') : undefined
}
