import {
  createHasher,
  hasReserve,
  PlatterError,
  type ReadableStore,
  readsInto,
  type Store,
  type StoreCallOptions,
  type StoreGetOptions,
  type StoreStat,
  settle,
} from '@platter/core'
import { decodeConfig } from '../config/config-record.ts'
import {
  CONFIG_NAME,
  FORGET_PREFIX,
  GC_PREFIX,
  KEYS_PREFIX,
  SNAPSHOTS_PREFIX,
} from '../format/object-names.ts'
import { type PinnedKind, pinnedKindOf } from './pin-state.ts'
import type { RollbackFinding } from './rollback.ts'
import type { StateWatch } from './state-watch.ts'

/** Where the objects are that a pin remembers. */
export const PINNED_PREFIXES: readonly string[] = [KEYS_PREFIX, FORGET_PREFIX, SNAPSHOTS_PREFIX, GC_PREFIX]

/** Told of what a store shows and of what is done to it. */
export interface PinObserver {
  readonly watch: StateWatch
  /** @throws unless the findings are accepted. */
  onFindings(findings: readonly RollbackFinding[]): void
  /** Something was created or removed through the store that a pin remembers. */
  onChange(name: string): Promise<void>
}

/**
 * The same store, with every complete listing, and the config, compared with what was seen before. So whatever works
 * with it works with names that were looked at, however often and by whom they are listed. It can do what the store
 * can do, and no more.
 */
export function pinnedStore<S extends ReadableStore>(inner: S, observer: PinObserver): S {
  const read = new PinnedReads(inner, observer)
  const bound: ReadableStore = {
    label: inner.label,
    get: (name, options) => read.get(name, options),
    getRange: (...args) => inner.getRange(...args),
    stat: (...args) => inner.stat(...args),
    list: (prefix, options) => read.list(prefix, options),
    close: () => inner.close(),
  }
  return Object.assign(bound, changes(inner, observer), extras(inner)) as unknown as S
}

/** What changes a store, as far as it can be changed. */
function changes(inner: ReadableStore, { watch, onChange }: PinObserver): object {
  const store = inner as Store
  const putIfAbsent: Store['putIfAbsent'] = async (name, parts, options) => {
    const put = await store.putIfAbsent(name, parts, options)
    const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0)
    const kind = pinnedKindOf(name, sizeBytes)
    // What was there already may be something else.
    if (put === 'exists' || kind === undefined) return put
    watch.learn(name, kind)
    await onChange(name)
    return put
  }
  const remove: Store['delete'] = async (name, options) => {
    await store.delete(name, options)
    if (pinnedKindOf(name, 0) !== 'slot') return
    watch.learn(name, 'removed slot')
    await onChange(name)
  }
  return {
    ...('putIfAbsent' in inner ? { putIfAbsent } : {}),
    ...('delete' in inner ? { delete: remove } : {}),
  }
}

/** What some stores can do besides. */
function extras(inner: ReadableStore): object {
  const reserve = hasReserve(inner)
    ? {
        keepReserve: (...args: Parameters<typeof inner.keepReserve>) => inner.keepReserve(...args),
        releaseReserve: (...args: Parameters<typeof inner.releaseReserve>) => inner.releaseReserve(...args),
      }
    : {}
  const names =
    'settle' in inner
      ? { settle: (prefix: string, options?: StoreCallOptions) => settle(inner, prefix, options) }
      : {}
  const reads = readsInto(inner)
    ? { getInto: (...args: Parameters<typeof inner.getInto>) => inner.getInto(...args) }
    : {}
  return { ...reserve, ...names, ...reads }
}

class PinnedReads {
  readonly #inner: ReadableStore
  readonly #observer: PinObserver

  constructor(inner: ReadableStore, observer: PinObserver) {
    this.#inner = inner
    this.#observer = observer
  }

  async get(name: string, options?: StoreGetOptions): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#inner.get(name, options)
    if (name === CONFIG_NAME) this.#compareConfig(bytes)
    return bytes
  }

  async *list(prefix: string, options?: StoreCallOptions): AsyncGenerator<StoreStat> {
    const { watch, onFindings } = this.#observer
    if (prefix !== '' && !PINNED_PREFIXES.includes(prefix)) {
      yield* this.#inner.list(prefix, options)
      return
    }
    const begun = watch.beginListing()
    const found = new Map<string, PinnedKind>()
    for await (const stat of this.#inner.list(prefix, options)) {
      const kind = pinnedKindOf(stat.name, stat.sizeBytes)
      if (kind !== undefined) found.set(stat.name, kind)
      yield stat
    }
    const { findings, news } = watch.compare(prefix, begun, found)
    onFindings(findings)
    if (news.size === 0) return
    // Who created what is new, or removed what is gone, may not have come so far as to make that durable.
    for (const pinned of PINNED_PREFIXES) if (pinned.startsWith(prefix)) await settle(this.#inner, pinned)
    watch.adopt(news, begun)
  }

  /** A config that is damaged is told of as such, by whoever asked for it. */
  #compareConfig(bytes: Uint8Array): void {
    const { watch, onFindings } = this.#observer
    let config: ReturnType<typeof decodeConfig>
    try {
      config = decodeConfig(bytes)
    } catch (error) {
      if (error instanceof PlatterError) return
      throw error
    }
    onFindings(watch.config(config.id, createHasher().hash(bytes)))
  }
}
