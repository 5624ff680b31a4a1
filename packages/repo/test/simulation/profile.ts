import type { InitOptions, OpenOptions } from '@platter/repo'
import { BLOCK_BYTES } from './block-images.ts'
import type { RandomStream } from './random-stream.ts'

/** What actors do. */
export type ActorKind =
  | 'backup'
  | 'long backup'
  | 'forget'
  | 'prune'
  | 'patient prune'
  | 'repair index'
  | 'repair packs'
  | 'restore'
  | 'check'
  | 'keys'

/**
 * How a history goes: everybody at once; few who fall asleep while others work; or everybody at once, and objects are
 * damaged meanwhile.
 */
export type Plot = 'storm' | 'sleepers' | 'damage'

/** One history in four is one of sleepers, and one in eight one of damage. */
export function plotOf(seed: number): Plot {
  if (seed % 4 === 1) return 'sleepers'
  return seed % 8 === 3 ? 'damage' : 'storm'
}

/** What kind of history a seed makes: how actors are interleaved, and what goes wrong how often. */
export interface Profile {
  readonly medium: 'bucket' | 'disk'
  readonly encrypted: boolean
  readonly rounds: number
  readonly actorsPerRound: number
  readonly kinds: Readonly<Record<ActorKind, number>>
  /** That the actor that was at work goes on, instead of any other. */
  readonly stay: number
  /** Per step. */
  readonly kill: number
  readonly freeze: number
  /** The same, at the steps that matter most. */
  readonly freezeAtGate: number
  readonly thaw: number
  readonly powerCut: number
  readonly jump: number
  readonly fault: number
  readonly answerLater: number
  readonly splitListing: number
  readonly landLate: number
  /** That a wall clock is wrong. */
  readonly wrongClock: number
  /** That collectors take whoever has not committed for dead at once. */
  readonly impatient: number
}

export const KEY_FILE: Uint8Array = new Uint8Array(32).fill(1)

const SMALL: InitOptions = {
  crypto: 'none',
  regionBytes: 64 * 1024,
  packBytes: 64 * 1024,
  chunker: { kind: 'fixed', minBytes: BLOCK_BYTES, averageBytes: BLOCK_BYTES, maxBytes: BLOCK_BYTES },
}

export function settingsOf({ encrypted }: Pick<Profile, 'encrypted'>): InitOptions {
  return encrypted ? { ...SMALL, crypto: 'aes-256-gcm', keyFile: KEY_FILE } : SMALL
}

export function openOptionsOf({ encrypted }: Pick<Profile, 'encrypted'>): OpenOptions {
  return encrypted ? { keyFile: KEY_FILE, codec: 'lz4' } : { codec: 'lz4' }
}

export function drawProfile(random: RandomStream): Profile {
  const sometimes = (probability: number, rate: number): number =>
    random.chance(probability) ? rate * random.fraction() : 0
  const encrypted = random.chance(0.15)
  return {
    medium: random.chance(0.35) ? 'disk' : 'bucket',
    encrypted,
    rounds: random.between(1, 3),
    actorsPerRound: random.between(2, 6),
    kinds: {
      backup: 6,
      'long backup': random.pick([0, 2, 5]),
      forget: random.pick([1, 3]),
      prune: random.pick([3, 6, 10]),
      'patient prune': 1,
      'repair index': random.pick([0, 1]),
      'repair packs': random.pick([0, 1]),
      restore: random.pick([0, 2]),
      check: random.pick([0, 1]),
      keys: encrypted ? 2 : 0,
    },
    stay: random.pick([0, 0.5, 0.9, 0.97]),
    kill: sometimes(0.5, 0.02),
    freeze: sometimes(0.5, 0.02),
    freezeAtGate: sometimes(0.7, 0.4),
    thaw: random.pick([0.002, 0.01, 0.05]),
    powerCut: sometimes(0.3, 0.005),
    jump: sometimes(0.5, 0.02),
    fault: sometimes(0.4, 0.02),
    answerLater: sometimes(0.5, 0.1),
    splitListing: random.pick([0, 0.3, 1]),
    landLate: random.pick([0.001, 0.01, 0.05]),
    wrongClock: random.pick([0, 0.5]),
    impatient: random.pick([0.5, 0.9, 1]),
  }
}
