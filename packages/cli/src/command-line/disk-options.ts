import type { DiskRestoreOptions } from '@platter/fs-adapters'
import type { OptionTable } from './option-spec.ts'
import type { OptionValues } from './option-values.ts'
import { UsageError } from './usage-error.ts'

/** Options of commands that bring a disk to a target. */
export const DISK_OPTIONS: OptionTable = {
  grow: {
    kind: 'value',
    placeholder: 'N',
    help: 'Let partition N take the space behind it. Its filesystem is left to its own tools.',
  },
  'new-ids': { kind: 'flag', help: 'Give disk and partitions new ids, for a clone beside its original.' },
  size: {
    kind: 'value',
    placeholder: 'SIZE',
    help: 'Size of the disk that a target which is a file shall be.',
  },
  'dry-run': { kind: 'flag', help: 'Say what would be written, and write nothing.' },
}

/** Those that were given, as the library takes them. */
export function diskOptions(options: OptionValues): DiskRestoreOptions {
  const grow = partitionNumber(options, 'grow')
  const sizeBytes = options.bytes('size')
  return {
    newIdentity: options.has('new-ids'),
    ...(grow === undefined ? {} : { grow }),
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  }
}

/** Number of a partition. */
export function partitionNumber(options: OptionValues, name: string): number | undefined {
  const text = options.text(name)
  if (text === undefined) return undefined
  if (!/^[1-9]\d{0,3}$/.test(text))
    throw new UsageError(`--${name} takes the number of a partition, not '${text}'.`)
  return Number(text)
}
