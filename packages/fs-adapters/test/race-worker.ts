// Run by races.ts in processes of its own: races for the names that it is told on standard input.
//   node race-worker.js FOLDER WORKER RACERS
import { createInterface } from 'node:readline'
import { PlatterError } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { objectOf, type RaceResult } from './race-objects.ts'

const [path = '', worker = '', racers = ''] = process.argv.slice(2)
const store = new LocalStore(path)
console.log('ready')

for await (const line of createInterface(process.stdin)) {
  const names = JSON.parse(line) as string[]
  // All at once, those of one name next to each other, so that they meet there with those of other processes.
  const races = names.flatMap((name) => Array.from({ length: Number(racers) }, (_, i) => race(name, i)))
  console.log(JSON.stringify(await Promise.all(races)))
}

async function race(name: string, number: number): Promise<RaceResult> {
  const racer = `${worker}.${number}`
  const object = objectOf(name, racer)
  const put = store.putIfAbsent(name, [object.subarray(0, 700), object.subarray(700)])
  return { name, racer, outcome: await put.catch(codeOf) }
}

function codeOf(error: unknown): string {
  return PlatterError.is(error) ? error.code : String(error)
}
