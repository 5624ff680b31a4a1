import type { BlockTarget } from '@platter/core'

/** A target that keeps nothing: what is restored to it is read, decoded and digested all the same. */
export class NullTarget implements BlockTarget {
  readonly info = { kind: 'null', label: 'nowhere', capacityBytes: undefined }
  readonly sequential = false

  async prepare(): Promise<{ readonly blank: boolean }> {
    return { blank: true }
  }

  async write(): Promise<void> {}

  async zero(): Promise<void> {}

  async flush(): Promise<void> {}

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
