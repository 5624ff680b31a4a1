import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { bareNode } from '../bare-node.ts'
import type { ChildSettings } from './child-settings.ts'
import type { Job, JournalEntry } from './journal.ts'

const CHILD = fileURLToPath(new URL('./campaign-child.js', import.meta.url))

/** A process of a campaign, as the one that started it sees it. */
export class CampaignProcess {
  readonly job: Job
  /** Resolves when it waits for `go`, or has ended before. */
  readonly ready: Promise<void>
  /** Resolves when it has ended and all it said was heard. */
  readonly ended: Promise<void>
  /** What it is busy with; undefined between two jobs. */
  busy: { readonly job: Job; phase: string } | undefined
  readonly #child: ChildProcess
  readonly #onEntry: (entry: JournalEntry) => void
  readonly #listeners = new Set<(entry: JournalEntry) => void>()
  #errors = ''
  #isKilled = false

  constructor(settings: ChildSettings, onEntry: (entry: JournalEntry) => void) {
    this.job = settings.job
    this.#onEntry = onEntry
    const child = spawn(...bareNode(CHILD, JSON.stringify(settings)), { stdio: 'pipe' })
    this.#child = child
    // Gone before it could be told to go: that it was killed is known from elsewhere.
    child.stdin.on('error', () => {})
    child.stderr.on('data', (piece) => {
      this.#errors += piece
    })
    const lines = createInterface(child.stdout)
    const heard = once(lines, 'close')
    this.ready = new Promise((resolve) => {
      lines.on('line', (line) => {
        const entry = JSON.parse(line) as JournalEntry
        if (entry.event === 'ready') resolve()
        this.#hear(entry)
      })
      lines.once('close', resolve)
    })
    this.ended = Promise.all([once(child, 'close'), heard]).then(([[code, signal]]) => {
      if (code !== 0 && !(signal === 'SIGKILL' && this.#isKilled))
        this.#onEntry({ event: 'wrong', what: `A process ended with ${code ?? signal}: ${this.#errors}` })
    })
  }

  go(): void {
    this.#child.stdin?.write('go\n')
  }

  /** Lets it end the job it is busy with, and no more. */
  finish(): void {
    this.#child.stdin?.end()
  }

  /** Kills it without warning, unless it has ended. */
  kill(): void {
    this.#isKilled = true
    this.#child.kill('SIGKILL')
  }

  /** Resolves as soon as it says something that fits, or has ended. */
  async heard(fits: (entry: JournalEntry) => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#listeners.add((entry) => {
        if (fits(entry)) resolve()
      })
      void this.ended.then(resolve)
    })
  }

  #hear(entry: JournalEntry): void {
    if (entry.event === 'begin') this.busy = { job: entry.job, phase: 'begin' }
    else if (entry.event === 'phase' && this.busy !== undefined) this.busy.phase = entry.phase
    else if (entry.event === 'end') this.busy = undefined
    this.#onEntry(entry)
    for (const listener of this.#listeners) listener(entry)
  }
}
