import type { InitOptions } from '@platter/repo'

const KIB = 1024

const PRESETS: Readonly<Record<string, NonNullable<InitOptions['chunker']>>> = {
  fastcdc: { kind: 'fastcdc', minBytes: 64 * KIB, averageBytes: 256 * KIB, maxBytes: 1024 * KIB },
  fixed: { kind: 'fixed', minBytes: 256 * KIB, averageBytes: 256 * KIB, maxBytes: 256 * KIB },
}

/** How `--chunker KIND` cuts. What is not listed is left to the library, whose default is the aligned chunker. */
export function chunkerOption(kind: string | undefined): Pick<InitOptions, 'chunker'> {
  const chunker = kind === undefined ? undefined : PRESETS[kind]
  return chunker === undefined ? {} : { chunker }
}
