/** What a racer was told. */
export interface RaceResult {
  readonly name: string
  readonly racer: string
  readonly outcome: string
}

/** The object that a racer puts under a name: no other puts the same anywhere. */
export function objectOf(name: string, racer: string): Uint8Array {
  return new TextEncoder().encode(`${name} of racer ${racer}\n`.repeat(60))
}
