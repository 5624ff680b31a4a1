import { blake3 } from '@napi-rs/blake-hash'
import { runBound } from './bound.ts'
import { packedBlobs } from './packed-blobs.ts'

await runBound(import.meta.url, function* (share) {
  for (const blobs of packedBlobs(share)) {
    const work = (): number => {
      let bytesOut = 0
      for (const { unpack, rawBytes } of blobs) {
        const plain = unpack()
        if (plain.length !== rawBytes) throw new RangeError('A blob has another length than its pack says.')
        blake3(plain)
        bytesOut += plain.length
      }
      return bytesOut
    }
    yield { bytesIn: blobs.reduce((sum, { storedBytes }) => sum + storedBytes, 0), work }
  }
})
