/** What is measured; the order is that of the report and of the steps in one repository. */
export const SCENARIOS = Object.freeze({
  first: 'A into a new repository',
  unchanged: 'A again',
  readback: 'A read back to nowhere',
  restore: 'A restored to a file',
  changed: 'B after A: files changed in place',
  relaid: 'C after B: the same files on a fresh filesystem',
  check: 'all data of the repository verified',
  sparse: 'A grown to 1 TiB, into a new repository',
} as const)

export type ScenarioId = keyof typeof SCENARIOS

export const SCENARIO_IDS = Object.freeze(Object.keys(SCENARIOS) as ScenarioId[])
