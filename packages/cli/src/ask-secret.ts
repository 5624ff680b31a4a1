import type { ReadStream } from 'node:tty'
import { Interruption } from './io.ts'

const ENTER = new Set(['\r', '\n', '\u0004'])
const BACKSPACE = new Set(['\u007f', '\b'])
const CLEAR_LINE = '\u0015'
const INTERRUPT = '\u0003'

/**
 * Asks for a line that is not shown while it is typed.
 *
 * @throws Interruption on Ctrl+C, or the signal's reason.
 */
export async function askSecret(
  terminal: ReadStream,
  prompt: { write(text: string): void },
  question: string,
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted()
  prompt.write(question)
  terminal.setEncoding('utf8')
  terminal.setRawMode(true)
  try {
    return await typedLine(terminal, signal)
  } finally {
    terminal.setRawMode(false)
    terminal.pause()
    prompt.write('\n')
  }
}

function typedLine(terminal: ReadStream, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let line: string[] = []
    const settle = (end: () => void): void => {
      terminal.off('data', take)
      terminal.off('end', close)
      signal.removeEventListener('abort', abort)
      end()
    }
    const abort = (): void => settle(() => reject(signal.reason))
    const close = (): void => settle(() => reject(new Error('The terminal has been closed.')))
    const take = (typed: string): void => {
      for (const letter of typed) {
        if (ENTER.has(letter)) {
          settle(() => resolve(line.join('')))
          return
        }
        if (letter === INTERRUPT) {
          settle(() => reject(new Interruption('SIGINT')))
          return
        }
        if (letter === CLEAR_LINE) line = []
        else if (BACKSPACE.has(letter)) line.pop()
        else line.push(letter)
      }
    }
    terminal.on('data', take)
    terminal.on('end', close)
    signal.addEventListener('abort', abort, { once: true })
  })
}
