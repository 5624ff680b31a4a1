import {
  CODEC,
  createHasher,
  decompress,
  type Hasher,
  PlatterError,
  packIdFrom,
  releaseMemory,
} from '@platter/core'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import { BLOB_TYPE, type BlobEntry } from '../format/blob-entry.ts'
import { packIdOfName } from '../format/object-names.ts'
import { verifiedEntries } from '../pack/pack-uploader.ts'
import type { PackProblem } from './check-protocol.ts'

/** Verifies whole packs: their bytes against their names, and every blob against its id. */
export class PackChecker {
  readonly #plainHasher: Hasher = createHasher()
  readonly #chunkHasher: Hasher
  readonly #nodeHasher: Hasher

  constructor(keys: RepositoryKeys) {
    this.#chunkHasher = createHasher(keys.chunkId)
    this.#nodeHasher = createHasher(keys.nodeId)
  }

  /** What is wrong with a pack; an empty list when nothing is. */
  check(name: string, file: Uint8Array): PackProblem[] {
    const id = packIdOfName(name)
    if (id === undefined)
      return [{ code: 'ERR_CORRUPT_PACK', message: `${name} is no name of a pack.`, blob: undefined }]
    const problems: PackProblem[] = []
    if (packIdFrom(this.#plainHasher.hash(file)) !== id) {
      const message = `The pack ${name} was altered: its bytes do not hash to its name.`
      problems.push({ code: 'ERR_CORRUPT_PACK', message, blob: undefined })
    }
    let entries: readonly BlobEntry[]
    try {
      entries = verifiedEntries(id, file)
    } catch (error) {
      if (!(error instanceof PlatterError)) throw error
      return [...problems, { code: 'ERR_CORRUPT_PACK', message: error.message, blob: undefined }]
    }
    for (const entry of entries) {
      if (this.#isIntact(entry, file)) continue
      const blob = Buffer.from(entry.id).toString('hex')
      const message = `The blob ${blob} at byte ${entry.offset} of ${name} is damaged.`
      problems.push({ code: 'ERR_CORRUPT_BLOB', message, blob })
    }
    return problems
  }

  #isIntact(entry: BlobEntry, file: Uint8Array): boolean {
    const stored = file.subarray(entry.offset, entry.offset + entry.storedBytes)
    const hasher = entry.type === BLOB_TYPE.chunk ? this.#chunkHasher : this.#nodeHasher
    try {
      const plain = decompress(entry.codec, stored, entry.rawBytes)
      const isIntact = Buffer.compare(hasher.hash(plain), entry.id) === 0
      if (entry.codec !== CODEC.none) releaseMemory(plain)
      return isIntact
    } catch (error) {
      if (PlatterError.is(error, 'ERR_CORRUPT_BLOB')) return false
      throw error
    }
  }
}
