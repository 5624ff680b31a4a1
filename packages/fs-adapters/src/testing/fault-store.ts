import { setTimeout as delay } from 'node:timers/promises'
import {
  PlatterError,
  type Store,
  type StoreCallOptions,
  type StoreGetOptions,
  type StoreStat,
} from '@platter/core'

/** A method of a store. */
export type StoreOperation = 'get' | 'getRange' | 'stat' | 'list' | 'putIfAbsent' | 'delete'

/** What goes wrong in a call. */
export type StoreFault =
  /** The call fails: 'before' it had an effect, or 'after', as when only the answer is lost. Default: before, ERR_STORE_IO. */
  | { readonly kind: 'error'; readonly when?: 'before' | 'after'; readonly error?: Error }
  /** `list` gives some objects, then throws. Default: ERR_STORE_IO. */
  | { readonly kind: 'cut-list'; readonly afterItems: number; readonly error?: Error }
  /** One bit of what `get` or `getRange` returns is wrong. */
  | { readonly kind: 'flip-bit'; readonly bit: number }
  /** The call takes longer. */
  | { readonly kind: 'delay'; readonly ms: number }

/** When something goes wrong. */
export interface StoreFaultRule {
  readonly operation: StoreOperation
  /** Only calls for names (of `list`: prefixes) that match. Default: all. */
  readonly name?: RegExp
  /** The first of these calls to be hit, counted from 1 when the rule is added. Default 1. */
  readonly nth?: number
  /** How many calls are hit from there on. Default 1. */
  readonly times?: number
  readonly fault: StoreFault
}

/** When the store, or the way to it, dies for good. */
export interface CrashPoint {
  /** So many calls still work. */
  readonly afterOperations: number
  /** Which calls count: 'all', or those that change the store (`putIfAbsent`, `delete`). Default 'all'. */
  readonly counting?: 'all' | 'changes'
  /** Whether the first call that fails has had its effect nevertheless. Default 'before': it has not. */
  readonly when?: 'before' | 'after'
}

/** A call that was made. `outcome` is undefined while it runs. */
export interface LoggedOperation {
  readonly operation: StoreOperation
  readonly name: string
  outcome: 'done' | 'failed' | undefined
}

interface ActiveRule extends StoreFaultRule {
  seen: number
}

/**
 * Wraps a store and lets calls fail as programmed, for tests of what is built on stores.
 *
 * @example
 * const store = new FaultStore(new MemoryStore())
 * store.inject({ operation: 'putIfAbsent', name: /^packs\//, nth: 3, fault: { kind: 'error', when: 'after' } })
 */
export class FaultStore implements Store {
  /** Every call so far, in the order in which they began. */
  readonly log: LoggedOperation[] = []
  readonly #inner: Store
  #rules: ActiveRule[] = []
  #crash: CrashPoint | undefined
  #counted = 0
  #crashed = false

  constructor(inner: Store) {
    this.#inner = inner
  }

  get label(): string {
    return this.#inner.label
  }

  /** True once the crash happened. */
  get crashed(): boolean {
    return this.#crashed
  }

  /** Adds a rule; several may hit one call. */
  inject(rule: StoreFaultRule): void {
    this.#rules.push({ ...rule, seen: 0 })
  }

  /** Lets everything fail from some call on, as if the process or the connection had died. Counts from now. */
  crashAt(point: CrashPoint): void {
    this.#crash = point
    this.#counted = 0
  }

  /** Takes all rules and the crash back; the log stays. */
  heal(): void {
    this.#rules = []
    this.#crash = undefined
    this.#crashed = false
  }

  get(name: string, options?: StoreGetOptions): Promise<Uint8Array<ArrayBuffer>> {
    return this.#read('get', name, () => this.#inner.get(name, options))
  }

  getRange(
    name: string,
    offset: number,
    length: number,
    options?: StoreCallOptions,
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.#read('getRange', name, () => this.#inner.getRange(name, offset, length, options))
  }

  stat(name: string, options?: StoreCallOptions): Promise<StoreStat | undefined> {
    return this.#call('stat', name, () => this.#inner.stat(name, options)).then(({ result }) => result)
  }

  async *list(prefix: string, options?: StoreCallOptions): AsyncIterable<StoreStat> {
    const { result, faults } = await this.#call('list', prefix, async () => this.#inner.list(prefix, options))
    const cut = faults.find((fault) => fault.kind === 'cut-list')
    let left = cut?.afterItems ?? Number.POSITIVE_INFINITY
    for await (const stat of result) {
      if (this.#crashed) throw crashError('list', prefix)
      if (left-- <= 0) break
      yield stat
    }
    if (cut) throw cut.error ?? injectedError('list', prefix)
  }

  putIfAbsent(
    name: string,
    parts: readonly Uint8Array[],
    options?: StoreCallOptions,
  ): Promise<'created' | 'exists'> {
    const put = (): Promise<'created' | 'exists'> => this.#inner.putIfAbsent(name, parts, options)
    return this.#call('putIfAbsent', name, put).then(({ result }) => result)
  }

  async delete(name: string, options?: StoreCallOptions): Promise<void> {
    await this.#call('delete', name, () => this.#inner.delete(name, options))
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async #read(
    operation: StoreOperation,
    name: string,
    call: () => Promise<Uint8Array<ArrayBuffer>>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { result, faults } = await this.#call(operation, name, call)
    for (const fault of faults) if (fault.kind === 'flip-bit') flipBit(result, fault.bit)
    return result
  }

  async #call<T>(
    operation: StoreOperation,
    name: string,
    call: () => Promise<T>,
  ): Promise<{ readonly result: T; readonly faults: readonly StoreFault[] }> {
    const entry: LoggedOperation = { operation, name, outcome: undefined }
    this.log.push(entry)
    try {
      const faults = this.#faultsFor(operation, name)
      for (const fault of faults) {
        if (fault.kind === 'delay') await delay(fault.ms)
        if (fault.kind === 'error' && fault.when !== 'after')
          throw fault.error ?? injectedError(operation, name)
      }
      const result = await call()
      for (const fault of faults) {
        if (fault.kind === 'error') throw fault.error ?? injectedError(operation, name)
      }
      entry.outcome = 'done'
      return { result, faults }
    } catch (error) {
      entry.outcome = 'failed'
      throw error
    }
  }

  #faultsFor(operation: StoreOperation, name: string): StoreFault[] {
    if (this.#crashed) throw crashError(operation, name)
    const faults: StoreFault[] = []
    for (const rule of this.#rules) {
      if (rule.operation !== operation || rule.name?.test(name) === false) continue
      rule.seen++
      const first = rule.nth ?? 1
      if (rule.seen >= first && rule.seen < first + (rule.times ?? 1)) faults.push(rule.fault)
    }
    const crash = this.#crash
    const counts = crash?.counting !== 'changes' || operation === 'putIfAbsent' || operation === 'delete'
    if (crash && counts && this.#counted++ >= crash.afterOperations) {
      this.#crashed = true
      faults.push({ kind: 'error', when: crash.when ?? 'before', error: crashError(operation, name) })
    }
    return faults
  }
}

function flipBit(bytes: Uint8Array, bit: number): void {
  const at = Math.floor(bit / 8)
  if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << (bit % 8))
}

function injectedError(operation: StoreOperation, name: string): PlatterError {
  return new PlatterError('ERR_STORE_IO', `Injected fault: ${operation} of '${name}' failed.`, {
    object: name,
  })
}

function crashError(operation: StoreOperation, name: string): PlatterError {
  return new PlatterError(
    'ERR_STORE_IO',
    `Injected fault: the store crashed before ${operation} of '${name}'.`,
    {
      object: name,
    },
  )
}
