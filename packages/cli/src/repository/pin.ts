import { PinFile } from '@platter/fs-adapters'
import type { Call } from '../command-line/command.ts'

/** The pin that options or environment name; undefined when they name none. */
export function givenPin({ options, io }: Pick<Call, 'options' | 'io'>): PinFile | undefined {
  const path = options.text('pin-file') ?? io.env.PLATTER_PIN_FILE
  return path === undefined || path === '' ? undefined : new PinFile(path)
}
