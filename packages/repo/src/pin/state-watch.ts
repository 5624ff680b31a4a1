import { assert, type RepositoryId } from '@platter/core'
import { CONFIG_NAME } from '../format/object-names.ts'
import type { PinnedKind, PinnedObject, PinState } from './pin-state.ts'
import type { RollbackFinding } from './rollback.ts'

interface Known extends PinnedObject {
  /** When it came to be known, in the order of what happened here. */
  readonly order: number
}

/**
 * Knows what was seen of a repository, by this client and those it shares a pin with, and compares each listing with
 * it. Pure: it reads and writes nothing.
 *
 * What it relies on is that snapshots, fences, tombstones and the records of prunes are never removed, and that a key
 * slot, once removed, never comes back. So a listing must show all that was known before it began.
 */
export class StateWatch {
  readonly #known = new Map<string, Known>()
  readonly #nowSeconds: () => number
  /** What differs is told of and then taken as it is now. */
  isAccepting: boolean
  #config: Pick<PinState, 'repository' | 'configHash'> | undefined
  #order = 0
  #changes = 0

  constructor(pinned: PinState | undefined, nowSeconds: () => number, isAccepting = false) {
    this.#nowSeconds = nowSeconds
    this.isAccepting = isAccepting
    if (pinned === undefined) return
    this.#config = pinned
    for (const [name, object] of pinned.objects) this.#know(name, object)
    this.#changes = 0
  }

  /** How often something became known that was not known before. */
  get changes(): number {
    return this.#changes
  }

  /** All that is known. */
  get state(): PinState {
    assert(this.#config !== undefined, 'a pin is made before the config was read')
    return { ...this.#config, objects: this.#known }
  }

  /** Compares the config with the one that was seen before; the first one seen is the one. */
  config(repository: RepositoryId, configHash: Uint8Array): RollbackFinding[] {
    this.#config ??= { repository, configHash }
    const isSame =
      this.#config.repository === repository && Buffer.compare(this.#config.configHash, configHash) === 0
    if (this.isAccepting) this.#config = { repository, configHash }
    return isSame ? [] : [{ object: CONFIG_NAME, kind: 'config', problem: 'changed', since: undefined }]
  }

  /** A listing begins. @returns what {@link compare} and {@link adopt} want to know of it. */
  beginListing(): number {
    return this.#order++
  }

  /**
   * Compares a complete listing with what is known.
   *
   * @param begun what `beginListing` gave: what came to be known later need not be in it.
   * @param prefix of the names that were listed.
   * @returns what contradicts, and what is new.
   */
  compare(
    prefix: string,
    begun: number,
    found: ReadonlyMap<string, PinnedKind>,
  ): { readonly findings: RollbackFinding[]; readonly news: ReadonlyMap<string, PinnedKind> } {
    const findings: RollbackFinding[] = []
    const news = new Map<string, PinnedKind>()
    for (const [name, known] of this.#known) {
      if (known.order > begun || !name.startsWith(prefix)) continue
      const problem = problemOf(known.kind, found.get(name))
      if (problem === 'removed') news.set(name, 'removed slot')
      else if (problem !== undefined) {
        const since = new Date(known.since * 1000).toISOString()
        findings.push({ object: name, problem, kind: known.kind, since })
        if (this.isAccepting) this.#known.delete(name)
      }
    }
    for (const [name, kind] of found) if (!this.#known.has(name)) news.set(name, kind)
    return { findings, news }
  }

  /** Takes over what was new in a listing, now that it is durable; what happened here since then counts more. */
  adopt(news: ReadonlyMap<string, PinnedKind>, begun: number): void {
    for (const [name, kind] of news) {
      const known = this.#known.get(name)
      if (known === undefined || known.order <= begun) this.learn(name, kind)
    }
  }

  /** Something was created or removed here. */
  learn(name: string, kind: PinnedKind): void {
    if (this.#known.get(name)?.kind !== kind) this.#know(name, { kind, since: this.#nowSeconds() })
  }

  /** Takes over what others have seen. A slot that one of them knows to be removed is. */
  merge(other: PinState): void {
    for (const [name, object] of other.objects) {
      const known = this.#known.get(name)
      const isNews = known === undefined || (known.kind === 'slot' && object.kind === 'removed slot')
      if (isNews) this.#know(name, object)
      else if (known.kind === object.kind && object.since < known.since)
        this.#known.set(name, { ...known, since: object.since })
    }
  }

  #know(name: string, object: PinnedObject): void {
    this.#known.set(name, { ...object, order: this.#order++ })
    this.#changes++
  }
}

function problemOf(
  known: PinnedKind,
  found: PinnedKind | undefined,
): RollbackFinding['problem'] | 'removed' | undefined {
  if (known === 'removed slot') return found === undefined ? undefined : 'back'
  if (found === known) return undefined
  if (found !== undefined) return 'changed'
  // Somebody has taken a way in from the repository.
  return known === 'slot' ? 'removed' : 'missing'
}
