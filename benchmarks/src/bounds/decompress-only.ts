import { blake3 } from '@napi-rs/blake-hash'
import { runBound } from './bound.ts'
import { codecNamed } from './codec.ts'

await runBound(import.meta.url, (name) => {
  const codec = codecNamed(name)
  return (chunks) => {
    const packed = chunks.map((chunk) => codec.compress(chunk))
    return () => {
      let bytesOut = 0
      for (const one of packed) {
        const chunk = codec.decompress(one)
        blake3(chunk)
        bytesOut += chunk.length
      }
      return bytesOut
    }
  }
})
