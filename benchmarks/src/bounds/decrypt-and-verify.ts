import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { runBound } from './bound.ts'
import { type PackedBlob, packedBlobs } from './packed-blobs.ts'
import { verifyBlob } from './verify-blob.ts'

const TAG_BYTES = 16
const key = randomBytes(32)

await runBound(import.meta.url, function* (share) {
  for (const blobs of packedBlobs(share)) {
    const sealed = blobs.map((blob, number) => ({ ...blob, ...seal(blob.stored, number) }))
    yield {
      bytesIn: sealed.reduce((sum, { ciphertext }) => sum + ciphertext.length, 0),
      work: () => sealed.reduce((sum, blob) => sum + verifyBlob(blob.unpack(open(blob)), blob.rawBytes), 0),
    }
  }
})

interface Sealed {
  readonly nonce: Buffer
  readonly ciphertext: Buffer
  readonly tag: Buffer
}

/** The packs are those of a repository without encryption: their blobs are encrypted here, which is not timed. */
function seal(stored: PackedBlob['stored'], number: number): Sealed {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32LE(number)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  const ciphertext = Buffer.concat([cipher.update(stored), cipher.final()])
  return { nonce, ciphertext, tag: cipher.getAuthTag() }
}

function open({ nonce, ciphertext, tag }: Sealed): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAuthTag(tag)
  const plain = decipher.update(ciphertext)
  decipher.final()
  return plain
}
