import type { TextOutput } from '../io.ts'
import { fitParts, type ProgressView, progressParts } from './progress-view.ts'
import { RateMeter } from './rate-meter.ts'

/** Shows how far a command has come. */
export interface ProgressDisplay {
  /** `record` is the same as plain data, for programs. */
  update(view: ProgressView, record: object): void
  /** Makes room for `print` to write lines of its own. */
  aside(print: () => void): void
  /** Nothing more is coming. */
  end(): void
}

/** Shows nothing. */
export class NoProgress implements ProgressDisplay {
  update(): void {}
  aside(print: () => void): void {
    print()
  }
  end(): void {}
}

const REDRAW_MILLIS = 100
const FALLBACK_COLUMNS = 80
const CLEAR_LINE = '\r\x1b[K'

/** One line on a terminal, drawn over and over. */
export class LiveProgress implements ProgressDisplay {
  readonly #output: TextOutput
  readonly #now: () => number
  #meter = new RateMeter()
  #phase = ''
  #drawnAt = Number.NEGATIVE_INFINITY
  #line = ''

  constructor(output: TextOutput, now: () => number) {
    this.#output = output
    this.#now = now
  }

  update(view: ProgressView): void {
    const now = this.#now()
    if (view.phase !== this.#phase) {
      // Another phase counts other things; its speed says nothing about this one.
      this.#phase = view.phase
      this.#meter = new RateMeter()
    }
    this.#meter.add(now, view.done, view.bytesMoved)
    if (now - this.#drawnAt < REDRAW_MILLIS) return
    this.#drawnAt = now
    // A line that reaches the last column wraps on some terminals.
    const width = (this.#output.columns ?? FALLBACK_COLUMNS) - 1
    this.#draw(fitParts(progressParts(view, this.#meter), width))
  }

  aside(print: () => void): void {
    const line = this.#line
    this.#draw('')
    print()
    this.#draw(line)
  }

  end(): void {
    this.#draw('')
  }

  #draw(line: string): void {
    if (line === this.#line) return
    this.#output.write(CLEAR_LINE + line)
    this.#line = line
  }
}

const FIRST_LINE_MILLIS = 5_000
const LONGEST_PAUSE_MILLIS = 60_000

/** A line of its own now and then, for a log: first after 5 seconds, later once a minute. */
export class PlainProgress implements ProgressDisplay {
  readonly #output: TextOutput
  readonly #now: () => number
  #meter = new RateMeter()
  #phase = ''
  #pause = FIRST_LINE_MILLIS
  #next: number

  constructor(output: TextOutput, now: () => number) {
    this.#output = output
    this.#now = now
    this.#next = now() + FIRST_LINE_MILLIS
  }

  update(view: ProgressView): void {
    const now = this.#now()
    if (view.phase !== this.#phase) {
      this.#phase = view.phase
      this.#meter = new RateMeter()
    }
    this.#meter.add(now, view.done, view.bytesMoved)
    if (now < this.#next) return
    this.#output.write(`${progressParts(view, this.#meter).join('  ')}\n`)
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MILLIS)
    this.#next = now + this.#pause
  }

  aside(print: () => void): void {
    print()
  }

  end(): void {}
}

const RECORD_MILLIS = 1_000

/** JSON lines for programs: at each new phase, once a second, and how it stood at the end. */
export class JsonProgress implements ProgressDisplay {
  readonly #output: TextOutput
  readonly #now: () => number
  #phase = ''
  #next = 0
  #unwritten: object | undefined

  constructor(output: TextOutput, now: () => number) {
    this.#output = output
    this.#now = now
  }

  update(view: ProgressView, record: object): void {
    const now = this.#now()
    this.#unwritten = record
    if (view.phase === this.#phase && now < this.#next) return
    this.#phase = view.phase
    this.#next = now + RECORD_MILLIS
    this.#flush()
  }

  aside(print: () => void): void {
    print()
  }

  end(): void {
    this.#flush()
  }

  #flush(): void {
    if (this.#unwritten === undefined) return
    this.#output.write(`${JSON.stringify({ progress: this.#unwritten })}\n`)
    this.#unwritten = undefined
  }
}
