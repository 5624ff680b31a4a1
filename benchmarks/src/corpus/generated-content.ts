import { createCipheriv, createHash } from 'node:crypto'

/** What made-up file content looks like to a compressor. */
export type ContentKind = 'text' | 'incompressible'

/** Makes the content of a file from a seed: the same seed always gives the same bytes. */
export function generateContent(kind: ContentKind, seed: string, sizeBytes: number): Uint8Array {
  return kind === 'text' ? textLike(seed, sizeBytes) : incompressible(seed, sizeBytes)
}

function incompressible(seed: string, sizeBytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest()
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes))
}

/** Strings phrases of varied length together, which compresses about as well as program text. */
function textLike(seed: string, sizeBytes: number): Uint8Array {
  const phrases = phraseBook()
  // Four bytes choose a phrase of at least eight, so the choices never run out.
  const choices = incompressible(seed, Math.ceil(sizeBytes / 8) * 4)
  const text = Buffer.alloc(sizeBytes)
  let filled = 0
  for (let choice = 0; filled < sizeBytes; choice += 4) {
    const pick = choices.readUInt32LE(choice)
    const start = pick % (phrases.length - LONGEST_PHRASE_BYTES)
    const length = SHORTEST_PHRASE_BYTES + (pick >>> 28)
    // A loop beats Buffer.copy on pieces as short as these.
    const end = Math.min(filled + length, sizeBytes)
    for (let from = start; filled < end; from++, filled++) text[filled] = phrases[from]!
  }
  return text
}

const SHORTEST_PHRASE_BYTES = 8
const LONGEST_PHRASE_BYTES = SHORTEST_PHRASE_BYTES + 15
const PHRASE_BOOK_BYTES = 1 << 15

let phraseBookMade: Buffer | undefined

function phraseBook(): Buffer {
  phraseBookMade ??= makePhraseBook()
  return phraseBookMade
}

function makePhraseBook(): Buffer {
  const letters = 'etaoinshrdlucmfwypvbgkjqxz'
  const choices = incompressible('phrase book', PHRASE_BOOK_BYTES)
  const book = Buffer.alloc(PHRASE_BOOK_BYTES)
  for (let at = 0; at < book.length; at++) {
    const choice = choices[at]!
    // The minimum of two throws makes the frequent letters frequent.
    const letter = Math.min(choice & 31, choice >>> 3)
    book[at] = letter < letters.length && choice % 6 !== 0 ? letters.charCodeAt(letter) : 0x20
  }
  return book
}
