import { type BlockTarget, createHasher, PlatterError, type RestoreJournal } from '@platter/core'
import type { RestoreOptions } from '../api/restore-types.ts'
import type { Volume } from '../api/snapshot-types.ts'
import type { RepositoryKeys } from '../config/repository-keys.ts'
import type { RestoreScope } from './restore-scope.ts'

/** What a journal begins with, whatever version wrote it. */
const MAGIC = 'platter-restore-journal '
const VERSION = '1'
const DEFAULT_STEP_BYTES = 1024 ** 3

/**
 * How far a restore has come, as its journal says: one line with what it is of, the image offset before which all is on
 * the target and durable, and a keyed hash of both.
 */
export class ResumePoint {
  /** Image bytes after which the journal is to be written. */
  readonly stepBytes: number
  readonly #journal: RestoreJournal
  readonly #binding: string
  readonly #key: Uint8Array

  private constructor(journal: RestoreJournal, binding: string, key: Uint8Array, stepBytes: number) {
    this.#journal = journal
    this.#binding = binding
    this.#key = key
    this.stepBytes = stepBytes
  }

  /** The one that options ask for, if they do. */
  static of(
    volume: Volume,
    target: BlockTarget,
    scope: RestoreScope,
    keys: RepositoryKeys,
    { journal, journalBytes = DEFAULT_STEP_BYTES }: RestoreOptions,
  ): ResumePoint | undefined {
    if (journal === undefined) return undefined
    if (!(journalBytes > 0))
      throw new PlatterError('ERR_INVALID_ARGUMENT', 'A journal is written after some bytes, not after none.')
    const { kind, label, capacityBytes, identity } = target.info
    const of = [
      volume.root,
      volume.sizeBytes,
      volume.imageDigest,
      scope,
      kind,
      identity ?? label,
      capacityBytes,
    ]
    return new ResumePoint(
      journal,
      hashOf(keys.imageDigest, JSON.stringify(of)),
      keys.imageDigest,
      journalBytes,
    )
  }

  /**
   * The image offset that an earlier attempt came to, 0 if there was none. What is cut off or damaged counts as none.
   *
   * @throws ERR_JOURNAL_INVALID for the journal of another restore, or what is no journal: it is not overwritten.
   * @throws ERR_JOURNAL_IO
   */
  async load(): Promise<number> {
    const bytes = await this.#journal.load()
    if (bytes === undefined) return 0
    const text = Buffer.from(bytes).toString('latin1')
    if (!text.startsWith(MAGIC.slice(0, text.length))) throw this.#invalid('is not the journal of a restore')
    const [, version, binding, position, hash] = /^\S+ (\d+) (\S+) (\d{1,15}) (\S+)\n$/.exec(text) ?? []
    if (version === undefined || position === undefined) return 0
    if (version !== VERSION) throw this.#invalid(`is of version ${version}, which this program does not know`)
    if (hash !== this.#hashOf(binding!, position)) {
      // Another repository has other keys; then the line is whole, but cannot be checked.
      if (binding !== this.#binding) throw this.#invalid(ANOTHER)
      return 0
    }
    if (binding !== this.#binding) throw this.#invalid(ANOTHER)
    return Number(position)
  }

  /** Notes that everything before an image offset is on the target, and durable. @throws ERR_JOURNAL_IO */
  async save(position: number): Promise<void> {
    const line = `${MAGIC}${VERSION} ${this.#binding} ${position} ${this.#hashOf(this.#binding, `${position}`)}\n`
    await this.#journal.save(new TextEncoder().encode(line))
  }

  /** @throws ERR_JOURNAL_IO */
  async remove(): Promise<void> {
    await this.#journal.remove()
  }

  #hashOf(binding: string, position: string): string {
    return hashOf(this.#key, `${binding} ${position}`)
  }

  #invalid(why: string): PlatterError {
    const { label } = this.#journal
    return new PlatterError(
      'ERR_JOURNAL_INVALID',
      `'${label}' ${why}. Name another file, or remove this one if it is not needed; nothing was written.`,
      { path: label },
    )
  }
}

const ANOTHER = 'is the journal of a restore of something else, or to another target'

function hashOf(key: Uint8Array, text: string): string {
  return Buffer.from(createHasher(key).hash(new TextEncoder().encode(text))).toString('hex')
}
