import { open, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { CorpusManifest } from './corpus-manifest.ts'
import { copyData, copySparse, createSparse } from './sparse-image.ts'

const ROOT_PARTITION = 'A.ext4'
const TEBIBYTE_IMAGE = 'A-1TiB.img'

/** Names of the images which are made from A when something needs them. */
export const DERIVED_IMAGES: readonly string[] = Object.freeze([ROOT_PARTITION, TEBIBYTE_IMAGE])

const TEBIBYTE = 2 ** 40

/** Copies the root partition of A to an image of its own, once; returns its path. */
export async function extractRootPartition(corpus: CorpusManifest, signal?: AbortSignal): Promise<string> {
  const target = join(dirname(corpus.paths.A), ROOT_PARTITION)
  if (await hasSize(target, corpus.root.length)) return target
  await createSparse(target, 0)
  await using from = await open(corpus.paths.A)
  await using to = await open(target, 'r+')
  await copyData(from, corpus.root, to, 0, signal)
  // The size comes last: it tells that the copy is complete.
  await to.truncate(corpus.root.length)
  return target
}

/** Copies A to a sparse image of 1 TiB, once; returns its path. */
export async function growToTebibyte(corpus: CorpusManifest, signal?: AbortSignal): Promise<string> {
  const target = join(dirname(corpus.paths.A), TEBIBYTE_IMAGE)
  if (await hasSize(target, TEBIBYTE)) return target
  await copySparse(corpus.paths.A, target, signal)
  await using image = await open(target, 'r+')
  await image.truncate(TEBIBYTE)
  return target
}

async function hasSize(path: string, sizeBytes: number): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined)
  return stats?.size === sizeBytes
}
