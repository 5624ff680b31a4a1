import { setImmediate } from 'node:timers/promises'
import type { Coverage } from './coverage.ts'
import { MAX_INPUT_BYTES, mutateBytes } from './mutate-bytes.ts'
import { mutateMessagePack } from './mutate-messagepack.ts'
import { mutateText } from './mutate-text.ts'
import { Random } from './random.ts'
import { Finding, type FuzzTarget, verdict } from './target.ts'

/** An input that a parser did not deal with as it should. */
export interface FoundInput {
  readonly what: string
  readonly input: Uint8Array
}

/** What came of fuzzing one target. */
export interface LoopResult {
  readonly inputs: number
  /** Different ones, the smallest input of each. */
  readonly findings: readonly FoundInput[]
  /** How often each outcome was: 'value', or the code of an error. */
  readonly outcomes: Readonly<Record<string, number>>
  /** Inputs that were kept because they took a branch that none before had. */
  readonly corpus: number
}

export interface LoopOptions {
  readonly inputs: number
  readonly seed: number
  /** Where branches are noted, when the code is instrumented. */
  readonly coverage?: Coverage
  /** Inputs to begin with, beside the seeds. */
  readonly more?: readonly Uint8Array[]
  /** Called with each input before it is tried. */
  readonly before: (input: Uint8Array) => void
  /** Called with each input after it was tried, and waited for where it has to be. */
  readonly after: (input: Uint8Array) => Promise<void> | undefined
}

const MAX_FINDINGS = 20
const INPUTS_PER_TURN = 64

/** Tries seeds, and then mutations of them and of what took new branches. */
export async function fuzz(target: FuzzTarget, options: LoopOptions): Promise<LoopResult> {
  const { coverage, before, after } = options
  const random = new Random(options.seed)
  const corpus = [...target.seeds, ...(options.more ?? [])]
  const findings = new Map<string, Uint8Array>()
  const outcomes: Record<string, number> = {}
  const starting = corpus.length
  const mutate = { bytes: mutateBytes, messagepack: mutateMessagePack, text: mutateText }[target.form]
  let inputs = 0
  for (; inputs < options.inputs && findings.size < MAX_FINDINGS; inputs++) {
    const input =
      inputs < starting
        ? corpus[inputs]!
        : mutate(chosen(corpus, starting, random), random.pick(corpus), random).subarray(0, MAX_INPUT_BYTES)
    // Timers and native code get their turn.
    if (inputs % INPUTS_PER_TURN === 0) await setImmediate()
    const taken = coverage?.taken ?? 0
    before(input)
    const outcome = await verdict(target, input)
    const waiting = after(input)
    if (waiting !== undefined) await waiting
    if (outcome instanceof Finding) {
      const known = findings.get(outcome.message)
      if (known === undefined || known.length > input.length) findings.set(outcome.message, input.slice())
    } else {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
    if (coverage !== undefined && coverage.taken > taken && inputs >= starting) corpus.push(input.slice())
  }
  return {
    inputs,
    findings: [...findings].map(([what, input]) => ({ what, input })),
    outcomes,
    corpus: corpus.length - starting,
  }
}

/**
 * Half of the time a valid input, else one that took a new branch, often a late one: what lies behind it has been tried
 * least.
 */
function chosen(corpus: readonly Uint8Array[], starting: number, random: Random): Uint8Array {
  if (random.oneIn(2)) return corpus[random.below(starting)]!
  const late = Math.max(0, corpus.length - 1 - random.below(8))
  return random.oneIn(2) ? corpus[late]! : random.pick(corpus)
}
