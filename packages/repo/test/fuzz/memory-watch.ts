import { readFileSync, writeFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { FoundInput } from './fuzz-loop.ts'
import { type FuzzTarget, verdict } from './target.ts'

const MIB = 1024 ** 2
/** Most memory that one input may need; also what the whole process, Node and all, may keep between inputs. */
const MAX_BYTES = 256 * MIB
/** Garbage outside of the heap at which it is collected: V8 takes its time, and decoders that are fast leave much. */
const MAX_GARBAGE_BYTES = 64 * MIB
/** Most address space asked for beyond what the process began with: native code that does not use it is in no other count. */
const MAX_VIRTUAL_BYTES = 1536 * MIB
/** Inputs from one look at memory that is not resident to the next. */
const INPUTS_PER_LOOK = 16
const LOOKS_PER_VIRTUAL_LOOK = 16

/**
 * Finds inputs that need more memory than they may.
 *
 * What a process has resident says little of one input: there is Node itself, and garbage of the inputs before. So a peak
 * is only a suspicion. Each input since the last look is then tried again, by itself and from a heap without garbage;
 * what counts is how far the process grows meanwhile, the garbage that the input makes included.
 */
export class MemoryWatch {
  readonly #target: FuzzTarget
  readonly #found: FoundInput[] = []
  #virtualAtStart = peakVirtualBytes()
  #recent: Uint8Array[] = []
  #looks = 0

  constructor(target: FuzzTarget) {
    this.#target = target
  }

  /** What was found so far. */
  get findings(): readonly FoundInput[] {
    return this.#found
  }

  /** Looks at the memory after an input. */
  look(input: Uint8Array): Promise<void> | undefined {
    this.#recent.push(input)
    if (peakResidentBytes() > MAX_BYTES) return this.#tryAgain()
    if (this.#recent.length < INPUTS_PER_LOOK) return undefined
    if (++this.#looks % LOOKS_PER_VIRTUAL_LOOK === 0) this.#lookAtVirtual()
    this.#recent = []
    return process.memoryUsage().external > MAX_GARBAGE_BYTES ? collectGarbage() : undefined
  }

  async #tryAgain(): Promise<void> {
    for (const input of this.#recent) {
      const bytes = await neededBytes(this.#target, input)
      if (bytes > MAX_BYTES) this.#find(`${mib(bytes)} of memory`, input)
    }
    const last = this.#recent.at(-1)!
    this.#recent = []
    await collectGarbage()
    resetPeak()
    const kept = peakResidentBytes()
    if (kept > MAX_BYTES) this.#find(`${mib(kept)} of memory are kept`, last)
  }

  #lookAtVirtual(): void {
    const peak = peakVirtualBytes()
    if (peak - this.#virtualAtStart < MAX_VIRTUAL_BYTES) return
    this.#find(`${mib(peak - this.#virtualAtStart)} more address space`, this.#recent.at(-1)!)
    this.#virtualAtStart = peak
  }

  #find(what: string, input: Uint8Array): void {
    this.#found.push({ what, input })
  }
}

/** How far the process grows while an input is dealt with; only on Linux more than what is left of it afterwards. */
async function neededBytes(target: FuzzTarget, input: Uint8Array): Promise<number> {
  await collectGarbage()
  resetPeak()
  const { rss, external } = process.memoryUsage()
  await verdict(target, input)
  // Memory that was allocated but not written to is not resident.
  return Math.max(peakResidentBytes() - rss, process.memoryUsage().external - external)
}

/** Memory outside of the heap is only given back between two turns of the event loop. */
async function collectGarbage(): Promise<void> {
  await setImmediate()
  globalThis.gc?.()
  await setImmediate()
}

function peakResidentBytes(): number {
  return process.resourceUsage().maxRSS * 1024
}

/** Makes what is resident now the peak. */
function resetPeak(): void {
  if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5')
}

function peakVirtualBytes(): number {
  if (process.platform !== 'linux') return 0
  const line = /^VmPeak:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))
  return Number(line?.[1] ?? 0) * 1024
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}
