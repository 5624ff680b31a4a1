// Run by local-store-races.test.ts in processes of its own: races for names and tells which it won.
import { PlatterError } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'

const [path = '', worker = '', racers = '', rounds = '', startMs = ''] = process.argv.slice(2)
const store = new LocalStore(path)
await new Promise((resolve) => setTimeout(resolve, Number(startMs) - Date.now()))

const outcomes = await Promise.all(
  Array.from({ length: Number(rounds) * Number(racers) }, async (_, i) => {
    const id = `${worker}.${Math.floor(i / Number(rounds))}`
    const part = new TextEncoder().encode(`racer ${id} `.repeat(200))
    const put = store.putIfAbsent(`race/${i % Number(rounds)}/object`, [part, part])
    return { id, round: i % Number(rounds), outcome: await put.catch(codeOf) }
  }),
)
console.log(JSON.stringify(outcomes))

function codeOf(error: unknown): string {
  return PlatterError.is(error) ? error.code : String(error)
}
