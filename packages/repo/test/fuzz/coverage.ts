/** Which branches of the instrumented code have been taken since the last restart. The code itself writes to it; see instrument.ts. */
export interface Coverage {
  readonly seen: Uint8Array
  /** How many. */
  taken: number
  readonly first: (branch: number) => void
  /** Forgets all of them. */
  readonly restart: () => void
}

/** The name under which instrumented code finds it. */
export const COVERAGE_GLOBAL = '__platterFuzzCoverage'
export const MAX_BRANCHES = 65_536

/** Makes the record of branches that instrumented code of this process writes to. */
export function installCoverage(): Coverage {
  const coverage: Coverage = {
    seen: new Uint8Array(MAX_BRANCHES),
    taken: 0,
    first(branch) {
      coverage.seen[branch] = 1
      coverage.taken++
    },
    restart() {
      coverage.seen.fill(0)
      coverage.taken = 0
    },
  }
  Object.assign(globalThis, { [COVERAGE_GLOBAL]: coverage })
  return coverage
}

/** The record of this process; undefined where nothing is instrumented. */
export function installedCoverage(): Coverage | undefined {
  return (globalThis as { [COVERAGE_GLOBAL]?: Coverage })[COVERAGE_GLOBAL]
}
