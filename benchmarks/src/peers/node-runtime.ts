import { runTool } from '../measure/tool.ts'

/** A node binary, and what matters about it. */
export interface NodeRuntime {
  readonly path: string
  readonly version: string
  readonly major: number
  /** The codec that platter takes with it. */
  readonly codec: 'lz4' | 'zstd'
}

/**
 * Looks at a node binary.
 *
 * @throws {Error} when it cannot be run
 */
export async function inspectNode(path: string): Promise<NodeRuntime> {
  const probe = 'console.log(JSON.stringify([process.version, "zstdCompressSync" in require("zlib")]))'
  const { code, stdout, stderr } = await runTool(path, ['-e', probe])
  if (code !== 0) throw new Error(`${path} is no usable node: ${stderr.trim()}`)
  const [version, hasZstd] = JSON.parse(stdout) as [string, boolean]
  return { path, version, major: Number(/^v(\d+)/.exec(version)?.[1]), codec: hasZstd ? 'zstd' : 'lz4' }
}

/** Finds Node 24: at a path, or from the npm registry when the path is `npx`. */
export async function findNode24(pathOrNpx: string): Promise<NodeRuntime> {
  if (pathOrNpx !== 'npx') return inspectNode(pathOrNpx)
  const target = `node-${process.platform}-${process.arch}@24`
  const { code, stdout, stderr } = await runTool('npx', [
    '-y',
    `--package=${target}`,
    'node',
    '-p',
    'process.execPath',
  ])
  if (code !== 0) throw new Error(`npx could not provide ${target}: ${stderr.trim()}`)
  return inspectNode(stdout.trim())
}
