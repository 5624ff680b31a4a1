import type { Measurement } from '../measure/measure.ts'
import type { ScenarioId } from '../scenarios/scenario.ts'

/** Everything that one run of the suite found out; written as JSON. */
export interface Results {
  readonly date: string
  readonly machine: MachineState
  readonly disk: DiskState
  readonly runs: number
  readonly peers: readonly PeerState[]
  readonly rows: readonly Row[]
}

export interface MachineState {
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly node: string
  /** Load averages over 1, 5 and 15 minutes before anything was measured. */
  readonly load: readonly number[]
}

export interface DiskState {
  readonly filesystem: 'ext4' | 'synthetic'
  readonly diskBytes: number
  /** The data of A in non-zero 4 KiB blocks. */
  readonly dataBytes: number
  /** Where the repositories were. */
  readonly repositoriesOn: 'tmpfs' | 'disk'
}

export interface PeerState {
  readonly id: string
  readonly title: string
  readonly settings: string
  /** Absent when it is not installed. */
  readonly version?: string
}

/** What one peer did in one scenario. */
export interface Row {
  readonly peer: string
  readonly scenario: ScenarioId
  readonly runs: readonly Run[]
  /** Why there are no runs, or fewer than wanted. */
  readonly note?: string
}

export interface Run extends Measurement {
  /** By how much the repository grew on disk. */
  readonly growthBytes: number
}
