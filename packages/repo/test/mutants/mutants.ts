import { COLLECTOR_MUTANTS } from './collector-mutants.ts'
import type { Mutant } from './mutant.ts'
import { REPAIR_MUTANTS } from './repair-mutants.ts'
import { WRITER_MUTANTS } from './writer-mutants.ts'

/** The real code without one of its rules, for each of them. */
export const MUTANTS: readonly Mutant[] = [...WRITER_MUTANTS, ...COLLECTOR_MUTANTS, ...REPAIR_MUTANTS]
