import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { ByteRange } from './disk-layout.ts'

export type ImageName = 'A' | 'B' | 'C'

export const MANIFEST_NAME = 'manifest.json'

/** Raised when the same parameters would give other images. */
export const CORPUS_FORMAT = 1

/** What the images depend on, beside the files of the machine. */
export interface CorpusParameters {
  readonly format: number
  readonly filesystem: 'ext4' | 'synthetic'
  readonly diskBytes: number
  readonly dataBytes: number
  readonly sources: readonly string[]
}

/** Where the files of a corpus are. */
export interface CorpusFiles {
  readonly paths: Readonly<Record<ImageName, string>>
  /** A file of the non-zero 4 KiB blocks of A, one after the other. */
  readonly packed: string
}

/** What the manifest file of a corpus folder tells; the folder may be moved. */
export interface CorpusRecord {
  readonly parameters: CorpusParameters
  readonly packedBytes: number
  readonly files: { readonly installed: number; readonly removed: number; readonly added: number }
  /** Where the root partition lies. */
  readonly root: ByteRange
}

/** What a corpus folder holds. */
export interface CorpusManifest extends CorpusFiles, CorpusRecord {}

export function corpusFiles(folder: string): CorpusFiles {
  const path = (name: ImageName) => join(folder, `${name}.img`)
  return { paths: { A: path('A'), B: path('B'), C: path('C') }, packed: join(folder, 'A.data') }
}

/** Writes the manifest, which tells that the corpus is complete. */
export async function writeManifest(folder: string, record: CorpusRecord): Promise<CorpusManifest> {
  await writeFile(join(folder, MANIFEST_NAME), `${JSON.stringify(record, null, 2)}\n`)
  return { ...corpusFiles(folder), ...record }
}

/** Reads the manifest of a corpus if it was made with these parameters and its images are still there. */
export async function readManifest(
  folder: string,
  parameters: CorpusParameters,
): Promise<CorpusManifest | undefined> {
  const text = await readFile(join(folder, MANIFEST_NAME), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const record = JSON.parse(text) as CorpusRecord
  if (!isDeepStrictEqual(record.parameters, parameters)) return undefined
  const files = corpusFiles(folder)
  const images = Object.values(files.paths).map((path) => hasSize(path, parameters.diskBytes))
  const present = await Promise.all([...images, hasSize(files.packed, record.packedBytes)])
  return present.every(Boolean) ? { ...files, ...record } : undefined
}

async function hasSize(path: string, sizeBytes: number): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.size === sizeBytes,
    () => false,
  )
}
