import { runBound } from './bound.ts'
import { packedBlobs } from './packed-blobs.ts'
import { verifyBlob } from './verify-blob.ts'

await runBound(import.meta.url, function* (share) {
  for (const blobs of packedBlobs(share)) {
    yield {
      bytesIn: blobs.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
      work: () =>
        blobs.reduce((sum, { unpack, stored, rawBytes }) => sum + verifyBlob(unpack(stored), rawBytes), 0),
    }
  }
})
