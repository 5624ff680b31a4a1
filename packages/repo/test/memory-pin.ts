import type { StatePin } from '@platter/core'

/** A pin in memory. */
export class MemoryPin implements StatePin {
  readonly label = 'memory'
  bytes: Uint8Array | undefined
  /** How often it was written. */
  updates = 0

  constructor(bytes?: Uint8Array) {
    this.bytes = bytes
  }

  async load(): Promise<Uint8Array | undefined> {
    return this.bytes?.slice()
  }

  async update(merge: (current: Uint8Array | undefined) => Uint8Array): Promise<void> {
    this.bytes = merge(this.bytes?.slice()).slice()
    this.updates++
  }
}
