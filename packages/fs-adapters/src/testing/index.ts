export { FaultFileSystem, type FaultPoint, type FileSystemCall, systemError } from './fault-file-system.ts'
export { FaultSource, type SourceFaults } from './fault-source.ts'
export {
  type CrashPoint,
  FaultStore,
  type LoggedOperation,
  type StoreFault,
  type StoreFaultRule,
  type StoreOperation,
} from './fault-store.ts'
export { FaultTarget, type TargetFaults } from './fault-target.ts'
export { FullFileSystem } from './full-file-system.ts'
export { PowerCutFileSystem } from './power-cut-file-system.ts'
export { type ConformanceCase, type StoreConformanceOptions, storeConformance } from './store-conformance.ts'
