import type { PlatterError, SnapshotId } from '@platter/core'
import type { BackupOptions } from '../api/backup-types.ts'
import type { Snapshot } from '../api/snapshot-types.ts'
import { WriterSession } from '../session/writer-session.ts'
import { writeTombstone } from '../snapshots/snapshot-catalog.ts'
import type { BackupContext } from './backup.ts'

const DEFAULT_HEARTBEAT_SECONDS = 300
/** Longest time a timer can be set to. */
const MAX_TIMER_MILLIS = 2 ** 31 - 1

/**
 * The sessions of one backup. There is one at a time; a checkpoint is the commit of the one before, and the backup
 * goes on under a new one.
 *
 * What a session relies on was known to be safe at its generation. So the next one may go on with what the last one
 * knew only if no prune has begun in between: its intent, at the same generation, stands before the last one is
 * committed. Otherwise the session stays, and there are no more checkpoints: the prune waits for it.
 */
export class BackupSessions {
  readonly #context: BackupContext
  readonly #signal: AbortSignal
  readonly #heartbeatMillis: number
  readonly #onFenced: (error: PlatterError) => void
  #current: WriterSession
  #checkpoint: SnapshotId | undefined
  #ended = false

  private constructor(
    context: BackupContext,
    heartbeatMillis: number,
    signal: AbortSignal,
    onFenced: (error: PlatterError) => void,
    first: WriterSession,
  ) {
    this.#context = context
    this.#heartbeatMillis = heartbeatMillis
    this.#signal = signal
    this.#onFenced = onFenced
    this.#current = first
    this.#current.keepAlive(heartbeatMillis, signal, onFenced)
  }

  /** Declares the first session. @param onFenced told when a collector has ended the session. */
  static async begin(
    context: BackupContext,
    options: BackupOptions,
    signal: AbortSignal,
    onFenced: (error: PlatterError) => void,
  ): Promise<BackupSessions> {
    const session = await WriterSession.begin(context, context, signal)
    const millis = Math.min(MAX_TIMER_MILLIS, 1000 * (options.heartbeatSeconds ?? DEFAULT_HEARTBEAT_SECONDS))
    return new BackupSessions(context, millis, signal, onFenced, session)
  }

  /** The session under way. */
  get current(): WriterSession {
    return this.#current
  }

  /** Whether there can be another checkpoint. */
  get canCheckpoint(): boolean {
    return !this.#ended
  }

  /**
   * Commits a checkpoint and goes on under a new session; everything it needs is durable.
   *
   * @param describe the snapshot, of the session that is still the current one when it is called.
   * @returns whether there is a checkpoint now.
   * @throws ERR_SESSION_FENCED, and what the store throws.
   */
  async checkpoint(describe: () => Snapshot): Promise<boolean> {
    const last = this.#current
    const next = await WriterSession.begin(this.#context, this.#context, this.#signal)
    if (next.generation !== last.generation) {
      this.#ended = true
      await next.abandon()
      return false
    }
    try {
      await last.commit(describe(), this.#signal)
    } catch (error) {
      await next.abandon()
      throw error
    }
    this.#current = next
    next.keepAlive(this.#heartbeatMillis, this.#signal, this.#onFenced)
    await this.forgetCheckpoint()
    this.#checkpoint = last.id
    return true
  }

  /** Forgets the last checkpoint, as something better has been committed. If that fails, a prune does it. */
  async forgetCheckpoint(): Promise<void> {
    const id = this.#checkpoint
    this.#checkpoint = undefined
    if (id !== undefined) await writeTombstone(this.#context, id, this.#signal).catch(() => undefined)
  }
}
