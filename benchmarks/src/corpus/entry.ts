import { open } from 'node:fs/promises'
import type { ContentKind } from './generated-content.ts'
import { generateContent } from './generated-content.ts'

/** Where the content of a file comes from. */
export type Content =
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'generated'; readonly kind: ContentKind; readonly seed: string }

/** A file to put on a disk. `directory` is absolute and has no slash at its end, save for `/` itself. */
export interface Entry {
  readonly directory: string
  readonly name: string
  readonly sizeBytes: number
  readonly content: Content
}

/** Sums the sizes of files, in bytes. */
export function totalBytes(entries: readonly Entry[]): number {
  return entries.reduce((sum, entry) => sum + entry.sizeBytes, 0)
}

/** Reads the content of a file piece by piece, exactly `sizeBytes` of it. */
export async function* readContent(entry: Entry): AsyncGenerator<Uint8Array> {
  const { content, sizeBytes } = entry
  if (content.from === 'generated') {
    yield generateContent(content.kind, content.seed, sizeBytes)
    return
  }
  const file = await open(content.path)
  try {
    for (let done = 0; done < sizeBytes; ) {
      const piece = Buffer.alloc(Math.min(PIECE_BYTES, sizeBytes - done))
      const { bytesRead } = await file.read(piece, 0, piece.length, done)
      if (bytesRead === 0) throw new Error(`${content.path} became shorter while the corpus was made.`)
      yield piece.subarray(0, bytesRead)
      done += bytesRead
    }
  } finally {
    await file.close()
  }
}

const PIECE_BYTES = 1 << 20
