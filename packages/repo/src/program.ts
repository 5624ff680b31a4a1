import { createRequire } from 'node:module'

const { version } = createRequire(import.meta.url)('../package.json') as { readonly version: string }

/** Name and version that snapshots carry. */
export const PROGRAM: string = `platter ${version}`
