import type { ReadableStore, RecordSealer } from '@platter/core'

/** A repository's objects, and what seals and opens the records among them. */
export interface SealedStore<S extends ReadableStore = ReadableStore> {
  readonly store: S
  readonly records: RecordSealer
}
