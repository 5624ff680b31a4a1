import { cpus, loadavg, release, totalmem } from 'node:os'
import type { MachineState } from './results.ts'

/** Describes the machine as it is now. */
export function readMachineState(): MachineState {
  const processors = cpus()
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown processor',
    cores: processors.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    load: loadavg(),
  }
}
