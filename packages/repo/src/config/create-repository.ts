import {
  newRepositoryId,
  PlatterError,
  type RepositoryId,
  type Store,
  type StoreCallOptions,
  SUITE,
  systemRandom,
  type WritableStore,
} from '@platter/core'
import type { InitOptions } from '../api/repository-types.ts'
import { DEFAULT_PACK_BYTES, DEFAULT_REGION_BYTES } from '../format/limits.ts'
import { CONFIG_NAME, keySlotName } from '../format/object-names.ts'
import { hasCredentials } from '../keys/credential.ts'
import { loadKeySlots } from '../keys/load-slots.ts'
import { addKeySlot } from '../keys/repository-key-slots.ts'
import { encodeConfig } from './config-record.ts'
import { assertConfig, DEFAULT_CHUNKER, type RepositoryConfig } from './repository-config.ts'

/** Makes a store a repository; see `Repository.init`. */
export async function createRepository(store: WritableStore, options: InitOptions): Promise<RepositoryId> {
  const random = options.random ?? systemRandom
  const crypto = options.crypto ?? 'aes-256-gcm'
  if (!Object.hasOwn(SUITE, crypto))
    throw new PlatterError('ERR_INVALID_ARGUMENT', `crypto is 'aes-256-gcm' or 'none', not '${crypto}'.`)
  if (crypto === 'none' && hasCredentials(options)) {
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      "With crypto: 'none' nothing is encrypted; leave the passphrase or key file out.",
    )
  }
  const config: RepositoryConfig = {
    id: newRepositoryId(random),
    crypto,
    chunker: options.chunker ?? DEFAULT_CHUNKER,
    regionBytes: options.regionBytes ?? DEFAULT_REGION_BYTES,
    packBytes: options.packBytes ?? DEFAULT_PACK_BYTES,
    secret: random(32),
  }
  assertConfig(config)
  try {
    await create(store, config, options)
  } finally {
    config.secret.fill(0)
  }
  return config.id
}

async function create(store: WritableStore, config: RepositoryConfig, options: InitOptions): Promise<void> {
  const { signal, random = systemRandom, now = () => new Date() } = options
  const callOptions = signal === undefined ? {} : { signal }
  let slot: string | undefined
  if (config.crypto !== 'none') {
    // Nothing is put beside a repository that is there already.
    if ((await store.stat(CONFIG_NAME, callOptions)) !== undefined) throw repositoryExists(store)
    const context = { store, repository: config.id, master: config.secret, random, now }
    slot = keySlotName(await addKeySlot(context, options))
  }
  // The config comes last: with it there is a repository, and then it can be opened.
  const put = await store.putIfAbsent(CONFIG_NAME, encodeConfig(config, random), callOptions)
  if (put === 'created') {
    if (slot !== undefined && canDelete(store)) await removeLeftovers(store, config.id, callOptions)
    return
  }
  if (slot !== undefined && canDelete(store)) await store.delete(slot, callOptions)
  throw repositoryExists(store)
}

/**
 * Removes the key slots of earlier attempts that came no further, which open nothing. An attempt that is still under way
 * can only fail now that the config stands. When this fails, a check tells of them, and `keys.remove` takes them away.
 */
async function removeLeftovers(
  store: Store,
  repository: RepositoryId,
  options: StoreCallOptions,
): Promise<void> {
  try {
    for (const { id, slot } of await loadKeySlots(store, repository, options))
      if (slot === undefined) await store.delete(keySlotName(id), options)
  } catch (error) {
    if (!(error instanceof PlatterError)) throw error
  }
}

function canDelete(store: WritableStore): store is Store {
  return 'delete' in store && typeof store.delete === 'function'
}

function repositoryExists(store: WritableStore): PlatterError {
  return new PlatterError(
    'ERR_REPOSITORY_EXISTS',
    `There is a repository at ${store.label} already; it was left as it is.`,
    { path: store.label },
  )
}
