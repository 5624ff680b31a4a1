/** How the objects of a repository are protected. The number stands in records and packs. */
export const SUITE: Readonly<{ none: 0; 'aes-256-gcm': 1 }> = Object.freeze({ none: 0, 'aes-256-gcm': 1 })
export type SuiteName = keyof typeof SUITE
export type SuiteNumber = (typeof SUITE)[SuiteName]

/** True for a suite this version knows. */
export function isSuiteNumber(value: number): value is SuiteNumber {
  return value === SUITE.none || value === SUITE['aes-256-gcm']
}
