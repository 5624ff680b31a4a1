// Loader hooks: where there is an instrumented copy of a module, that is loaded in its place.
import { readFileSync } from 'node:fs'
import type { InitializeHook, LoadHook } from 'node:module'
import { join } from 'node:path'

let copies: Record<string, string> = {}

export const initialize: InitializeHook<string> = (folder) => {
  copies = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Record<string, string>
}

export const load: LoadHook = async (url, context, nextLoad) => {
  const copy = copies[url]
  if (copy === undefined) return await nextLoad(url, context)
  return { format: 'module', shortCircuit: true, source: readFileSync(copy, 'utf8') }
}
