import { createHasher, type Hasher, PlatterError, packIdFrom, releaseMemory } from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE, type BlobEntry } from '../format/blob-entry.ts'
import { packIdOfName } from '../format/object-names.ts'
import { assertPadding, saltOfHeader } from '../format/pack-file.ts'
import { BlobOpener } from '../pack/blob-opener.ts'
import { verifiedEntries } from '../pack/pack-uploader.ts'
import type { PackProblem } from './check-protocol.ts'

/** Verifies whole packs: their bytes against their names, and every blob against its id. */
export class PackChecker {
  readonly #plainHasher: Hasher = createHasher()
  readonly #chunkHasher: Hasher
  readonly #nodeHasher: Hasher
  readonly #packKey: Uint8Array | undefined
  readonly #opener: BlobOpener

  constructor(keys: RepositoryKeys) {
    this.#chunkHasher = createHasher(keys.chunkId)
    this.#nodeHasher = createHasher(keys.nodeId)
    this.#packKey = keys.pack
    this.#opener = new BlobOpener(keys.pack, { borrows: true })
  }

  /** What is wrong with a pack; an empty list when nothing is. */
  check(name: string, file: Uint8Array): PackProblem[] {
    const id = packIdOfName(name)
    if (id === undefined)
      return [{ code: 'ERR_CORRUPT_PACK', message: `${name} is no name of a pack.`, blob: undefined }]
    const problems: PackProblem[] = []
    const problem = (message: string): void => {
      problems.push({ code: 'ERR_CORRUPT_PACK', message, blob: undefined })
    }
    if (packIdFrom(this.#plainHasher.hash(file)) !== id)
      problem(`The pack ${name} was altered: its bytes do not hash to its name.`)
    const entries = orProblem(() => verifiedEntries(id, file, this.#packKey), problem)
    if (entries === undefined) return problems
    orProblem(() => assertPadding(file, name, this.#packKey), problem)
    const salt = saltOfHeader(file)
    for (const entry of entries) {
      if (this.#isIntact(entry, salt, file)) continue
      const blob = Buffer.from(entry.id).toString('hex')
      const message = `The blob ${blob} at byte ${entry.offset} of ${name} is damaged.`
      problems.push({ code: 'ERR_CORRUPT_BLOB', message, blob })
    }
    return problems
  }

  #isIntact(entry: BlobEntry, salt: Uint8Array, file: Uint8Array): boolean {
    const sealed = file.subarray(entry.offset, entry.offset + entry.storedBytes)
    const hasher = entry.type === BLOB_TYPE.chunk ? this.#chunkHasher : this.#nodeHasher
    const plain = this.#opener.open(entry, salt, sealed, hasher)
    if (plain !== undefined && plain.buffer !== file.buffer) releaseMemory(plain)
    return plain !== undefined
  }
}

/** What a check gives, or undefined when it finds something. */
function orProblem<Result>(check: () => Result, problem: (message: string) => void): Result | undefined {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof PlatterError)) throw error
    problem(error.message)
    return undefined
  }
}
