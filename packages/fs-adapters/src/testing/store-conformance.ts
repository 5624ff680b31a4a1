import type { Store } from '@platter/core'
import type { ConformanceCase, ConformanceSizes } from './conformance/conformance-case.ts'
import { listCases } from './conformance/list-cases.ts'
import { readCases } from './conformance/read-cases.ts'
import { writeCases } from './conformance/write-cases.ts'

export type { ConformanceCase } from './conformance/conformance-case.ts'

/** Options of {@link storeConformance}. */
export interface StoreConformanceOptions {
  /** Size of the largest object, in bytes. Default 40 MiB, more than any pack. */
  readonly largeObjectBytes?: number
  /** Calls that race for a name. Default 64. */
  readonly racers?: number
  /** Names they race for, one after the other. Default 20; the more, the likelier a rare second winner shows. */
  readonly racedNames?: number
  /** Objects in the long listing. Default 1200, more than a page of common object stores. */
  readonly manyObjects?: number
}

const DEFAULT_SIZES: ConformanceSizes = Object.freeze({
  largeObjectBytes: 40 * 1024 * 1024,
  racers: 64,
  racedNames: 20,
  manyObjects: 1200,
})

/**
 * What every store has to guarantee, as test cases for any test runner: each has a name, and a `run` that rejects
 * when the guarantee is broken. What only a power cut or a broken disk would show, durability above all, is not
 * among it and needs tests of its own.
 *
 * @param createStore makes an empty store; called once a case. The case closes it.
 *
 * @example
 * for (const { name, run } of storeConformance(async () => new MyStore(await freshBucket()))) test(name, run)
 */
export function storeConformance(
  createStore: () => Promise<Store>,
  options: StoreConformanceOptions = {},
): ConformanceCase[] {
  const sizes = { ...DEFAULT_SIZES, ...options }
  return [...readCases, ...writeCases, ...listCases].map(({ name, check }) => ({
    name,
    async run() {
      const store = await createStore()
      try {
        await check(store, sizes)
      } finally {
        await store.close()
      }
    },
  }))
}
