import { findTool, runTool } from '../measure/tool.ts'

/** Asks a program for its version; `undefined` when it is not installed. */
export async function installedVersion(
  program: string,
  args: readonly string[],
  pattern: RegExp,
): Promise<string | undefined> {
  const path = await findTool(program)
  if (path === undefined) return undefined
  const { stdout, stderr } = await runTool(path, args)
  return pattern.exec(stdout + stderr)?.[1] ?? 'unknown version'
}
