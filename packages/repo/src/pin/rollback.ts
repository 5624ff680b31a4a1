import { PlatterError } from '@platter/core'
import type { Warning } from '../api/repository-types.ts'
import type { PinnedKind } from './pin-state.ts'

/** How what a store shows contradicts what was seen before. */
export interface RollbackFinding {
  /** Name of the object. */
  readonly object: string
  /** `missing`: it was there. `back`: it was removed. `changed`: something else stands in its place. */
  readonly problem: 'missing' | 'back' | 'changed'
  /** What it was. */
  readonly kind: PinnedKind | 'config'
  /** ISO 8601: when it was seen first, or seen to be removed; undefined for the config. */
  readonly since: string | undefined
}

/** Findings that a message lists one by one. */
const MAX_LISTED = 5

/** An ERR_ROLLBACK that says what is missing, what came back, and since when that is known. */
export function rollbackError(
  store: string,
  pin: string,
  findings: readonly RollbackFinding[],
): PlatterError {
  return new PlatterError(
    'ERR_ROLLBACK',
    `The store ${store} contradicts what was seen of it before: ${listOf(findings)}. It was set back to an earlier state, or objects were taken away from it or put back. If you know why, accept its present state for the pin ${pin}; if not, rely on nothing that it shows.`,
    { path: pin, object: findings[0]!.object, objects: findings.map(({ object }) => object) },
  )
}

/** Tells which contradictions were accepted. */
export function acceptedWarning(store: string, findings: readonly RollbackFinding[]): Warning {
  return {
    code: 'WARN_ROLLBACK_ACCEPTED',
    message: `The present state of the store ${store} was accepted, although it contradicts what was seen before: ${listOf(findings)}.`,
  }
}

function listOf(findings: readonly RollbackFinding[]): string {
  const listed = findings.slice(0, MAX_LISTED).map(describeFinding)
  const more = findings.length - listed.length
  return [...listed, ...(more > 0 ? [`${more} more`] : [])].join('; ')
}

function describeFinding({ object, problem, kind, since }: RollbackFinding): string {
  const what = `${NAMES[kind]} ${object}`
  const [seen, removed] = [`seen since ${since}`, `removed since ${since}`]
  if (kind === 'config') return 'the repository is another, or has another config'
  if (problem === 'back') return `${what}, ${removed}, is back`
  return problem === 'missing' ? `${what}, ${seen}, is missing` : `${what}, ${seen}, has become another`
}

const NAMES: Readonly<Record<RollbackFinding['kind'], string>> = {
  config: 'the config',
  snapshot: 'the snapshot',
  fence: 'the fence',
  tombstone: 'the tombstone',
  mark: "a prune's mark",
  sweep: "a prune's sweep",
  done: 'the end of a prune,',
  slot: 'the key slot',
  'removed slot': 'the key slot',
}
