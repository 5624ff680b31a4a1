#!/usr/bin/env node
import { parseArgs } from 'node:util'
import type { CorpusOptions } from './make-corpus.ts'
import { makeCorpus } from './make-corpus.ts'
import { parseSize } from './sizes.ts'

const HELP = `Makes disk images to measure with, from the files of this machine.

Usage: node benchmarks/dist/corpus/main.js FOLDER [options]

  --disk-bytes SIZE    size of a disk (8GiB)
  --data-bytes SIZE    size of the files on it (3GB)
  --source FOLDER      take files from here; may be repeated (/etc, /usr)
  --filesystem KIND    ext4 or synthetic (ext4 when e2fsprogs is installed)
  --force              make the images again
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'disk-bytes': { type: 'string' },
    'data-bytes': { type: 'string' },
    source: { type: 'string', multiple: true },
    filesystem: { type: 'string' },
    force: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
})

const [folder] = positionals
if (values.help || folder === undefined) {
  console.log(HELP)
  process.exitCode = values.help ? 0 : 1
} else {
  const { paths, packedBytes, files, parameters } = await makeCorpus({
    folder,
    ...(values['disk-bytes'] === undefined ? {} : { diskBytes: parseSize(values['disk-bytes']) }),
    ...(values['data-bytes'] === undefined ? {} : { dataBytes: parseSize(values['data-bytes']) }),
    ...(values.source === undefined ? {} : { sources: values.source }),
    ...(values.filesystem === undefined ? {} : { filesystem: parseFilesystem(values.filesystem) }),
    force: values.force ?? false,
    onProgress: (message) => console.error(message),
  })
  console.log(Object.values(paths).join('\n'))
  console.log(
    `${parameters.filesystem}: ${files.installed} files, ${packedBytes} bytes that are not zero in A; ` +
      `${files.removed} files removed and ${files.added} added for B and C`,
  )
}

function parseFilesystem(text: string): NonNullable<CorpusOptions['filesystem']> {
  if (text !== 'ext4' && text !== 'synthetic')
    throw new RangeError(`"${text}" is neither ext4 nor synthetic.`)
  return text
}
