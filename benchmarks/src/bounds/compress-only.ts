import { runBound } from './bound.ts'
import { codecNamed } from './codec.ts'

await runBound(import.meta.url, (name) => {
  const codec = codecNamed(name)
  return (chunks) => () => chunks.reduce((sum, chunk) => sum + codec.compress(chunk).length, 0)
})
