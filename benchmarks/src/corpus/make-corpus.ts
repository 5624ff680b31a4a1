import { mkdir, open, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import {
  CORPUS_FORMAT,
  type CorpusManifest,
  type CorpusParameters,
  corpusFiles,
  MANIFEST_NAME,
  readManifest,
  writeManifest,
} from './corpus-manifest.ts'
import { DERIVED_IMAGES } from './derived-images.ts'
import type { DiskContents } from './disk-contents.ts'
import { chooseContents } from './disk-contents.ts'
import { layOutDisk } from './disk-layout.ts'
import { findExt4Tools } from './ext4.ts'
import { makeExt4Disks } from './ext4-disks.ts'
import { scanSourceTree } from './source-tree.ts'
import { packData } from './sparse-image.ts'
import { makeSyntheticDisks } from './synthetic-disks.ts'

export interface CorpusOptions {
  /** Where the images go. */
  readonly folder: string
  /** Size of each disk, in bytes; whole MiB. */
  readonly diskBytes?: number
  /** Size of the files on it, in bytes. */
  readonly dataBytes?: number
  /** Folders to take files from; what they lack is made up. */
  readonly sources?: readonly string[]
  /** `ext4` needs mke2fs and debugfs; by default it is taken when they are installed. */
  readonly filesystem?: 'ext4' | 'synthetic'
  /** Make the images even if the folder has them already. */
  readonly force?: boolean
  readonly onProgress?: (message: string) => void
  readonly signal?: AbortSignal
}

export const CORPUS_DEFAULTS = Object.freeze({
  diskBytes: 8 * 2 ** 30,
  dataBytes: 3e9,
  sources: Object.freeze(['/etc', '/usr']),
})

/**
 * Makes three versions of a disk from the files of this machine: A, installed; B, A after some files were
 * removed and others added in place; C, the files of B on a fresh filesystem in another order.
 *
 * The same files always give the same images. A folder that has them already is left as it is.
 */
export async function makeCorpus(options: CorpusOptions): Promise<CorpusManifest> {
  const folder = resolve(options.folder)
  const tools = options.filesystem === 'synthetic' ? undefined : await findExt4Tools()
  if (options.filesystem === 'ext4' && tools === undefined) {
    throw new Error(
      'mke2fs and debugfs are not installed: install e2fsprogs, or ask for the synthetic filesystem.',
    )
  }
  const parameters: CorpusParameters = {
    format: CORPUS_FORMAT,
    filesystem: tools === undefined ? 'synthetic' : 'ext4',
    diskBytes: options.diskBytes ?? CORPUS_DEFAULTS.diskBytes,
    dataBytes: options.dataBytes ?? CORPUS_DEFAULTS.dataBytes,
    sources: [...(options.sources ?? CORPUS_DEFAULTS.sources)],
  }
  const progress = options.onProgress ?? (() => {})
  const known = options.force === true ? undefined : await readManifest(folder, parameters)
  if (known !== undefined) return known

  await mkdir(folder, { recursive: true })
  const { paths, packed } = corpusFiles(folder)
  await removeOldFiles(folder, [...Object.values(paths), packed])
  progress('choosing files')
  const layout = layOutDisk(parameters.diskBytes)
  const contents = chooseContents(
    await scanSourceTree(parameters.sources, options.signal),
    parameters.dataBytes,
  )
  const work = { layout, contents, paths, progress, signal: options.signal }
  await (tools === undefined ? makeSyntheticDisks(work) : makeExt4Disks(tools, work))

  progress('packing the data of A')
  const packedBytes = await packData(paths.A, packed, options.signal)
  await flush(Object.values(paths))
  return writeManifest(folder, { parameters, packedBytes, ...counts(contents), root: layout.root })
}

/** The manifest goes first: without it, whatever is left counts for nothing. */
async function removeOldFiles(folder: string, images: readonly string[]): Promise<void> {
  const derived = DERIVED_IMAGES.map((name) => join(folder, name))
  for (const path of [join(folder, MANIFEST_NAME), ...images, ...derived]) await rm(path, { force: true })
}

function counts(contents: DiskContents) {
  const { installed, removed, added } = contents
  return { files: { installed: installed.length, removed: removed.length, added: added.length } }
}

/** Writes the images back now, so that it does not happen while something is measured. */
async function flush(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await using image = await open(path, 'r+')
    await image.sync()
  }
}
