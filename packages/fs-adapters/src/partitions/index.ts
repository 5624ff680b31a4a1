export type {
  ByteRange,
  GptCopyName,
  GptPlace,
  GptTable,
  MbrTable,
  NoTable,
  Partition,
  PartitionTable,
  TableArea,
  TableBase,
  TableProblem,
  TableProblemCode,
  UnusableTable,
} from './partition-table.ts'
export {
  type PartitionedDisk,
  type ReadPartitionTableOptions,
  readPartitionTable,
} from './read-partition-table.ts'
export {
  type DiskWrite,
  type PartitionTableChanges,
  type RewrittenTable,
  rewritePartitionTable,
} from './rewrite-partition-table.ts'
