import { readFileSync } from 'node:fs'

/** Version of this package. */
export const VERSION: string = readVersion()

function readVersion(): string {
  // Importing JSON still warns on Node 20.
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
