import { blake3 } from '@napi-rs/blake-hash'
import { runBound } from './bound.ts'
import { codecNamed } from './codec.ts'
import { fileChunks, totalBytes } from './file-chunks.ts'

await runBound(import.meta.url, function* (share) {
  const codec = codecNamed(share.codec)
  for (const chunks of fileChunks(share)) {
    const packed = chunks.map((chunk) => codec.compress(chunk))
    const work = (): number => {
      let bytesOut = 0
      for (const one of packed) {
        const chunk = codec.decompress(one)
        blake3(chunk)
        bytesOut += chunk.length
      }
      return bytesOut
    }
    yield { bytesIn: totalBytes(chunks), work }
  }
})
