import type { Fields } from '../common/fields.ts'
import type { FilesystemModule, RecognisedFilesystem } from '../common/filesystem-module.ts'
import { SurveyError } from '../common/survey-error.ts'

const MAGIC = 'LUKS\xba\xbe'

/**
 * Volumes encrypted with LUKS. What is in use inside cannot be seen without the key, so they are read whole. Sources:
 * "LUKS On-Disk Format Specification", 1.2.3, and "LUKS2 On-Disk Format Specification", 1.1.1, section 2.1.
 */
export const LUKS: FilesystemModule = { probe }

function probe(head: Fields, volumeBytes: number): RecognisedFilesystem | undefined {
  if (!head.says(0, MAGIC) || head.length < 208) return undefined
  const version = head.u8(6) * 256 + head.u8(7) // big endian
  if (version !== 1 && version !== 2) return undefined
  return {
    identity: {
      type: version === 1 ? 'luks1' : 'luks2',
      label: version === 1 ? undefined : head.text(24, 48),
      uuid: head.text(168, 40),
      blockBytes: 512,
      sizeBytes: volumeBytes,
    },
    survey: async () => {
      throw new SurveyError('opaque', 'it is encrypted, so what is in use cannot be seen')
    },
  }
}
