import { runBound } from './bound.ts'
import { codecNamed } from './codec.ts'
import { fileChunks, totalBytes } from './file-chunks.ts'

await runBound(import.meta.url, function* (share) {
  const codec = codecNamed(share.codec)
  for (const chunks of fileChunks(share)) {
    yield {
      bytesIn: totalBytes(chunks),
      work: () => chunks.reduce((sum, chunk) => sum + codec.compress(chunk).length, 0),
    }
  }
})
