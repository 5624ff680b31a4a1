import { PlatterError, type ReadableStore, type StatePin } from '@platter/core'
import type { Warning } from '../api/repository-types.ts'
import { FORGET_PREFIX } from '../format/object-names.ts'
import { decodePin, encodePin, type PinState } from './pin-state.ts'
import { PINNED_PREFIXES, pinnedStore } from './pinned-store.ts'
import { acceptedWarning, type RollbackFinding, rollbackError } from './rollback.ts'
import { StateWatch } from './state-watch.ts'

export interface PinnedStateOptions {
  /** Takes the store as it is now, whatever was seen before, and tells `onWarning` what differs. */
  readonly accept: boolean
  readonly now: () => Date
  readonly onWarning: (warning: Warning) => void
}

/**
 * Holds a store to what was seen of it before. A pin is never ahead of the store: what it says was durable there before
 * it was written to the pin. So a client that dies in between leaves a pin that lags, and no false alarm.
 */
export class PinnedState<S extends ReadableStore = ReadableStore> {
  /** The store, with its listings compared with what was seen. */
  readonly store: S
  readonly #inner: S
  readonly #pin: StatePin
  readonly #options: PinnedStateOptions
  readonly #watch: StateWatch
  /** What was found while everything is being looked at, to be told of together. */
  #findings: RollbackFinding[] | undefined = []
  #savedChanges = 0
  /** The pin is made anew instead of being added to. */
  #replaces: boolean
  #saving: Promise<void> = Promise.resolve()

  private constructor(inner: S, pin: StatePin, pinned: PinState | undefined, options: PinnedStateOptions) {
    this.#inner = inner
    this.#pin = pin
    this.#options = options
    this.#replaces = options.accept
    // A clock may be wrong; times are only shown.
    const nowSeconds = (): number =>
      Math.min(Math.max(0, Math.floor(options.now().getTime() / 1000)), 2 ** 32 - 1)
    this.#watch = new StateWatch(pinned, nowSeconds, options.accept)
    if (pinned === undefined || options.accept) this.#savedChanges = -1
    this.store = pinnedStore(inner, {
      watch: this.#watch,
      onFindings: (findings) => this.#judge(findings),
      // Many tombstones are written at a time; whoever does that saves when all are.
      onChange: (name) => (name.startsWith(FORGET_PREFIX) ? Promise.resolve() : this.saveOrWarn()),
    })
  }

  /** @throws ERR_CORRUPT_PIN unless it is to be made anew, ERR_UNSUPPORTED_VERSION, ERR_PIN_IO */
  static async load<S extends ReadableStore>(
    inner: S,
    pin: StatePin,
    options: PinnedStateOptions,
  ): Promise<PinnedState<S>> {
    const bytes = await pin.load()
    let pinned: PinState | undefined
    try {
      if (bytes !== undefined) pinned = decodePin(bytes, pin.label)
      else if (!options.accept) options.onWarning(newPinWarning(pin.label))
    } catch (error) {
      if (!options.accept || !PlatterError.is(error, 'ERR_CORRUPT_PIN')) throw error
    }
    return new PinnedState(inner, pin, pinned, options)
  }

  /**
   * Looks at all that a pin remembers, and remembers what is new. Until then nothing that is found is thrown; nor may
   * anything be relied on.
   *
   * @throws ERR_ROLLBACK with all there is to find, ERR_PIN_IO, and what the store throws.
   */
  async verify(signal: AbortSignal | undefined): Promise<void> {
    const options = signal === undefined ? {} : { signal }
    for (const prefix of PINNED_PREFIXES) for await (const _ of this.store.list(prefix, options));
    // Key slots were listed once already, when one was opened.
    const findings = [...new Map((this.#findings ?? []).map((finding) => [finding.object, finding])).values()]
    this.#findings = undefined
    if (this.#watch.isAccepting) {
      this.#watch.isAccepting = false
      if (findings.length > 0) this.#options.onWarning(acceptedWarning(this.#inner.label, findings))
    } else {
      this.#judge(findings)
    }
    await this.save()
  }

  /** Writes what is new to the pin. @throws ERR_PIN_IO, ERR_CORRUPT_PIN, and what the store throws. */
  async save(): Promise<void> {
    const save = this.#saving.then(() => this.#save())
    this.#saving = save.catch(() => undefined)
    await save
  }

  /** The same where the work is done and must not seem to have failed: a pin that lags is no harm. */
  async saveOrWarn(): Promise<void> {
    try {
      await this.save()
    } catch (error) {
      if (!(error instanceof PlatterError)) throw error
      this.#options.onWarning({ code: error.code, message: error.message })
    }
  }

  #judge(findings: readonly RollbackFinding[]): void {
    // In another repository there is nothing else to look at, and no passphrase to be tried.
    const isOther = findings.some(({ kind }) => kind === 'config') && !this.#watch.isAccepting
    if (this.#findings !== undefined && !isOther) this.#findings.push(...findings)
    else if (findings.length > 0) throw rollbackError(this.#inner.label, this.#pin.label, findings)
  }

  async #save(): Promise<void> {
    if (this.#watch.changes === this.#savedChanges) return
    await this.#pin.update((bytes) => {
      const current = bytes === undefined || this.#replaces ? undefined : decodePin(bytes, this.#pin.label)
      if (current !== undefined) {
        if (current.repository !== this.#watch.state.repository) throw pinOfAnother(this.#pin.label)
        this.#watch.merge(current)
      }
      this.#savedChanges = this.#watch.changes
      return encodePin(this.#watch.state)
    })
    this.#replaces = false
  }
}

function pinOfAnother(pin: string): PlatterError {
  return new PlatterError(
    'ERR_INVALID_ARGUMENT',
    `The pin ${pin} is that of another repository by now. Each repository needs one of its own.`,
    { path: pin },
  )
}

function newPinWarning(pin: string): Warning {
  return {
    code: 'WARN_PIN_NEW',
    message: `Nothing of the repository was seen before, says the pin ${pin}. Its present state is taken as the first.`,
  }
}
