/**
 * Text from elsewhere (names, labels, messages with paths) as it can safely go to a terminal: control characters,
 * which could move the cursor or retitle the window, and the marks that turn the writing direction, show as escapes.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.charCodeAt(0)
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

const UNSAFE = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu
