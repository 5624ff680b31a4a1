import type { FuzzTarget } from './target.ts'
import { COMMAND_LINE_TARGETS } from './targets/command-line.ts'
import { CONFIG_TARGETS } from './targets/config.ts'
import { DISK_TARGETS } from './targets/disks.ts'
import { ENVELOPE_TARGETS } from './targets/envelopes.ts'
import { EXFAT_TARGETS } from './targets/exfat.ts'
import { LVM2_TARGETS } from './targets/lvm2.ts'
import { NAME_TARGETS } from './targets/names.ts'
import { NTFS_TARGETS } from './targets/ntfs.ts'
import { PACK_TARGETS } from './targets/packs.ts'
import { PARTITION_TABLE_TARGETS } from './targets/partition-tables.ts'
import { RECORD_TARGETS } from './targets/records.ts'
import { SETTING_TARGETS } from './targets/settings.ts'
import { XFS_TARGETS } from './targets/xfs.ts'

/**
 * Every parser of Platter. Tombstones, quarantine records and `.done` are not among them: their names say all, and
 * nobody reads them.
 */
export const TARGETS: readonly FuzzTarget[] = [
  ...ENVELOPE_TARGETS,
  ...RECORD_TARGETS,
  ...CONFIG_TARGETS,
  ...PACK_TARGETS,
  ...NAME_TARGETS,
  ...SETTING_TARGETS,
  ...PARTITION_TABLE_TARGETS,
  ...COMMAND_LINE_TARGETS,
  ...DISK_TARGETS,
  ...NTFS_TARGETS,
  ...EXFAT_TARGETS,
  ...XFS_TARGETS,
  ...LVM2_TARGETS,
]
