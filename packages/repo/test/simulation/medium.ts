import type { Store } from '@platter/core'
import { LocalStore } from '@platter/fs-adapters'
import { Disk } from './disk.ts'
import { DiskFileSystem, type Perform, STORE_PATH, systemError } from './disk-file-system.ts'
import { Bucket, DirectStore, SimulatedStore } from './object-store.ts'
import type { RandomStream } from './random-stream.ts'
import type { Actor, World } from './world.ts'

/** What a repository is stored on. */
export interface Medium {
  /** An actor's way to it, on which every call is a step of the history. */
  storeOf(world: World, actor: Actor): Store
  /** A way on which everything happens at once. */
  directly(): Store
  copy(): Medium
  /** The power of the machine fails: what was not yet durable may be lost. Nobody is alive by then. */
  losePower(random: RandomStream): void
}

/** An object store: what was put is durable, and its power never fails. */
export class BucketMedium implements Medium {
  readonly #bucket: Bucket
  readonly #random: RandomStream

  constructor(random: RandomStream, bucket: Bucket = new Bucket()) {
    this.#random = random
    this.#bucket = bucket
  }

  storeOf(world: World, actor: Actor): Store {
    return new SimulatedStore(world, actor, this.#bucket, this.#random)
  }

  directly(): Store {
    return new DirectStore(this.#bucket)
  }

  copy(random: RandomStream = this.#random): BucketMedium {
    return new BucketMedium(random, this.#bucket.copy())
  }

  losePower(): void {}

  names(): string[] {
    return [...this.#bucket.objects.keys()]
  }

  read(name: string): Uint8Array {
    return this.#bucket.objects.get(name)!
  }

  /** Damages an object, or takes it away, as no call does: a listing under way is as it would have been. */
  alter(name: string, bytes: Uint8Array | undefined): void {
    if (bytes === undefined) this.#bucket.objects.delete(name)
    else this.#bucket.objects.set(name, bytes)
  }
}

/** That a call which only looks is a step of its own; most others happen with the one before. */
const LOOK_IS_A_STEP = 0.25

/** A folder on a disk, under the real `LocalStore`: what was not synced is lost when the power fails. */
export class DiskMedium implements Medium {
  readonly #random: RandomStream
  readonly #disk: Disk
  #nowMillis: () => number = () => 0

  constructor(random: RandomStream, disk: Disk = new Disk()) {
    this.#random = random
    this.#disk = disk
  }

  storeOf(world: World, actor: Actor): Store {
    this.#nowMillis = () => world.millis
    const perform: Perform = async ({ label, changes, onFailure }, effect) => {
      if (!changes && !this.#random.chance(LOOK_IS_A_STEP)) return effect()
      const failure = (): Error => {
        onFailure?.()
        return systemError('EIO', label)
      }
      return await world.call(actor, { label, changes, failure }, effect)
    }
    return this.#store(perform)
  }

  directly(): Store {
    return this.#store(async (_call, effect) => effect())
  }

  copy(): DiskMedium {
    return new DiskMedium(this.#random, this.#disk.copy())
  }

  losePower(random: RandomStream): void {
    this.#disk.losePower(random)
  }

  #store(perform: Perform): Store {
    const fileSystem = new DiskFileSystem(this.#disk, perform, () => this.#nowMillis())
    return new LocalStore(STORE_PATH, { fileSystem })
  }
}
