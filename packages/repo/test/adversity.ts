import { createHash } from 'node:crypto'
import {
  type BlockSource,
  type BlockTarget,
  type Extent,
  PlatterError,
  type SnapshotId,
  type SourceInfo,
  type Store,
} from '@platter/core'
import { MemorySource, MemoryStore, MemoryTarget } from '@platter/fs-adapters'
import { type BackupOptions, type InitOptions, Repository, type Snapshot } from '@platter/repo'
import type { Test } from 'tap'
import { decodeConfig, type EncryptedConfig, openConfig } from '../dist/config/config-record.js'
import { deriveRepositoryKeys, type RepositoryKeys } from '../dist/config/repository-keys.js'
import { unlock } from '../dist/keys/unlock.js'
import { seededRandom } from './images.ts'

/**
 * Small regions and packs, so that a small image has many of each. Keys are the same in every run, and so are cuts and
 * what packs hold, which tests count on; no two repositories of a run have the same.
 */
export const SETTINGS: InitOptions = Object.freeze({
  random: seededRandom(0),
  crypto: 'none',
  regionBytes: 64 * 1024,
  packBytes: 64 * 1024,
  chunker: { kind: 'aligned', minBytes: 4096, averageBytes: 16384, maxBytes: 65536 } as const,
})

/** What opens the encrypted repositories of tests: a key file, as trying it costs nothing. */
export const KEY_FILE: Uint8Array = noise('key file', 32)

/** The same sizes, encrypted. */
export const ENCRYPTED: InitOptions = Object.freeze({
  ...SETTINGS,
  crypto: 'aes-256-gcm',
  keyFile: KEY_FILE,
})

/** Opens a repository of tests, encrypted or not. */
export async function openRepository(store: Store): Promise<Repository> {
  const isEncrypted = (await objectNames(store, 'keys/')).length > 0
  return await Repository.open(store, isEncrypted ? { keyFile: KEY_FILE } : {})
}

/** Bytes that look random, the same for the same seed. */
export function noise(seed: string, lengthBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash('shake256', { outputLength: lengthBytes }).update(seed).digest())
}

/** An image with data, text that compresses, a hole longer than a region, and an end off every border. */
export function diskImage(seed: string, sizeBytes = 300_001): Uint8Array<ArrayBuffer> {
  const bytes = noise(seed, sizeBytes)
  bytes.fill(0, 65_000, 170_000)
  const text = Buffer.from(`A line of text, as compressors like it: ${seed}.\n`)
  for (let at = 200_000; at < Math.min(240_000, sizeBytes); at += text.length)
    bytes.set(text.subarray(0, sizeBytes - at), at)
  return bytes
}

export async function newRepository(
  store: Store = new MemoryStore(),
  settings: InitOptions = SETTINGS,
): Promise<Repository> {
  await Repository.init(store, settings)
  return await openRepository(store)
}

export async function backUp(
  repo: Repository,
  image: Uint8Array,
  options: BackupOptions = {},
): Promise<Snapshot> {
  return await repo.backup(new MemorySource(image), { workers: 0, name: 'disk', ...options })
}

export async function restored(repo: Repository, reference: string, workers = 0): Promise<Uint8Array> {
  const target = new MemoryTarget()
  await repo.restore(reference, target, { workers })
  return target.bytes
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** What a promise was rejected with; fails when it was not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => {
      throw new Error('It succeeded, but was to fail.')
    },
    (error: unknown) => error,
  )
}

/** The code of the PlatterError a promise was rejected with. Any other outcome is told in words. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'success',
    (error: unknown) => (error instanceof PlatterError ? error.code : `untyped: ${String(error)}`),
  )
}

/** Like `codeOf`, for a call that throws or returns at once. */
export function codeOfCall(call: () => unknown): string {
  try {
    call()
    return 'success'
  } catch (error) {
    return error instanceof PlatterError ? error.code : `untyped: ${String(error)}`
  }
}

/** All items, as a list. */
export async function collected<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = []
  for await (const item of items) list.push(item)
  return list
}

export async function objectNames(store: Store, prefix = ''): Promise<string[]> {
  const names: string[] = []
  for await (const { name } of store.list(prefix)) names.push(name)
  return names.sort()
}

/** The keys of an encrypted repository that `KEY_FILE` opens. */
export async function keysOf(store: Store): Promise<RepositoryKeys> {
  const config = decodeConfig(await store.get('config')) as EncryptedConfig
  const { master } = await unlock(store, config.id, { keyFile: KEY_FILE }, {})
  return deriveRepositoryKeys(openConfig(config, master))
}

/** A store with the same objects. */
export async function copyOf(store: Store): Promise<MemoryStore> {
  const copy = new MemoryStore()
  for (const name of await objectNames(store)) await copy.putIfAbsent(name, [await store.get(name)])
  return copy
}

/** Puts other bytes in an object's place, or takes it away. */
export async function replaceObject(
  store: Store,
  name: string,
  bytes: Uint8Array | undefined,
): Promise<void> {
  await store.delete(name)
  if (bytes !== undefined) await store.putIfAbsent(name, [bytes])
}

/**
 * Asserts that a repository holds the snapshots it had, bit for bit, and beside them at most `maybe`, whole; that
 * nothing in it is damaged; and that another backup works.
 */
export async function assertSound(
  t: Test,
  store: Store,
  had: ReadonlyMap<SnapshotId, Uint8Array>,
  what: string,
  maybe?: Uint8Array,
): Promise<{ readonly committed: number }> {
  const repo = await openRepository(store)
  const ids: SnapshotId[] = []
  for await (const { id } of repo.snapshots()) ids.push(id)
  for (const [id, image] of had) {
    if (!ids.includes(id)) t.fail(`${what}: a snapshot is gone`)
    else if (!sameBytes(await restored(repo, id), image))
      t.fail(`${what}: an old snapshot restores other bytes`)
  }
  const added = ids.filter((id) => !had.has(id))
  for (const id of added) {
    if (maybe === undefined || added.length > 1)
      t.fail(`${what}: a snapshot is visible that was not committed`)
    else if (!sameBytes(await restored(repo, id), maybe)) t.fail(`${what}: the new snapshot is not whole`)
  }
  const { findings } = await repo.check({ readData: true, workers: 0 })
  t.same(findings, [], `${what}: nothing is damaged`)
  const image = diskImage('the next one', 150_000)
  const { id } = await backUp(repo, image, { name: 'next' })
  t.ok(sameBytes(await restored(await openRepository(store), id), image), `${what}: the next backup works`)
  return { committed: added.length }
}

/** A source that does as its parts do. */
export function sourceFrom(
  parts: Partial<Omit<BlockSource, 'info'>> & { readonly info?: Partial<SourceInfo> },
  image: Uint8Array = new Uint8Array(0),
): BlockSource {
  const inner = new MemorySource(image)
  return {
    sequential: parts.sequential ?? false,
    ...(parts.direct === undefined ? {} : { direct: parts.direct }),
    extents: parts.extents ?? ((options) => inner.extents(options)),
    read: parts.read ?? ((...args) => inner.read(...args)),
    assertUnchanged: parts.assertUnchanged ?? (async () => {}),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
    info: { ...inner.info, ...parts.info },
  }
}

export async function* listed(extents: readonly Extent[]): AsyncGenerator<Extent> {
  yield* extents
}

/** A target that does as its parts do, in front of one in memory. */
export function targetFrom(
  parts: Partial<BlockTarget>,
  inner: BlockTarget = new MemoryTarget(),
): BlockTarget {
  return {
    info: inner.info,
    sequential: false,
    prepare: (...args) => inner.prepare(...args),
    write: (...args) => inner.write(...args),
    zero: (...args) => inner.zero(...args),
    flush: () => inner.flush(),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
    ...parts,
  }
}

/** Rejections nobody handled so far. */
export const unhandled: unknown[] = []
process.on('unhandledRejection', (error) => unhandled.push(error))
