import { type KeySlotId, PlatterError, type ReadableStore } from '@platter/core'
import { MAX_RECORD_BYTES } from '../format/limits.ts'
import { CONFIG_NAME } from '../format/object-names.ts'
import { type Credentials, hasCredentials } from '../keys/credential.ts'
import { unlock } from '../keys/unlock.ts'
import { decodeConfig, openConfig } from './config-record.ts'
import type { RepositoryConfig } from './repository-config.ts'

/** The config of a repository, and the key slot that opened it where there is encryption. */
export interface OpenedConfig {
  readonly config: RepositoryConfig
  readonly slot: KeySlotId | undefined
}

/**
 * Reads the config of a repository, with the master key where it is encrypted.
 *
 * @throws ERR_REPOSITORY_NOT_FOUND, ERR_NOT_ENCRYPTED when a credential is given and the repository has no use for it,
 * and what reading the config and unlocking throw.
 */
export async function readConfig(
  store: ReadableStore,
  credentials: Credentials,
  options: { readonly signal?: AbortSignal },
): Promise<OpenedConfig> {
  const stored = decodeConfig(await configBytes(store, options))
  if (!('sealed' in stored)) {
    // The store may have been exchanged for one that would get everything in the clear.
    if (hasCredentials(credentials)) {
      throw new PlatterError(
        'ERR_NOT_ENCRYPTED',
        `The repository at ${store.label} is not encrypted, although a passphrase or key file was given. If it was encrypted before, somebody has put another config in its place: write nothing to it. Otherwise open it without.`,
        { path: store.label },
      )
    }
    return { config: stored, slot: undefined }
  }
  const { master, slot } = await unlock(store, stored.id, credentials, options)
  try {
    return { config: openConfig(stored, master), slot }
  } catch (error) {
    master.fill(0)
    throw error
  }
}

async function configBytes(
  store: ReadableStore,
  options: { readonly signal?: AbortSignal },
): Promise<Uint8Array> {
  try {
    return await store.get(CONFIG_NAME, { maxBytes: MAX_RECORD_BYTES, ...options })
  } catch (cause) {
    if (!PlatterError.is(cause, 'ERR_NOT_FOUND')) throw cause
    throw new PlatterError(
      'ERR_REPOSITORY_NOT_FOUND',
      `There is no repository at ${store.label}. Create one with init.`,
      { path: store.label, cause },
    )
  }
}
