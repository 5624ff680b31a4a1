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
export { type ConformanceCase, type StoreConformanceOptions, storeConformance } from './store-conformance.ts'
