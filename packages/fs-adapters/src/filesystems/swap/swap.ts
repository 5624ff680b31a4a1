import type { Fields } from '../common/fields.ts'
import type { FilesystemModule, RecognisedFilesystem, Survey } from '../common/filesystem-module.ts'
import { ensure, SurveyError } from '../common/survey-error.ts'

/** Sizes of pages that Linux has on any machine. The signature ends the first page. */
const PAGE_BYTES = [4096, 8192, 16384, 32768, 65536]
const SIGNATURE_BYTES = 10
/** What the kernel, uswsusp and TuxOnIce write over the signature when they save memory to swap. */
const HIBERNATION = ['S1SUSPEND', 'S2SUSPEND', 'ULSUSPEND', 'LINHIB0001', '\xed\xc3\x02\xe9\x98\x56\xe5\x0c']

/**
 * Swap space of Linux: a header in the first page, and pages that mean nothing once the machine is off. Source:
 * `union swap_header` in the kernel's include/linux/swap.h, `swap_parse_header` in mm/swapfile.c, and
 * kernel/power/swap.c for hibernation.
 */
export const SWAP: FilesystemModule = { probe }

function probe(head: Fields, volumeBytes: number): RecognisedFilesystem | undefined {
  for (const pageBytes of PAGE_BYTES) {
    const at = pageBytes - SIGNATURE_BYTES
    const isSwap = head.says(at, 'SWAPSPACE2') || head.says(at, 'SWAP-SPACE')
    const isHibernated = HIBERNATION.some((signature) => head.says(at, signature))
    if (!isSwap && !isHibernated) continue
    return {
      identity: {
        type: 'swap',
        label: head.text(1052, 16),
        uuid: head.uuid(1036),
        blockBytes: pageBytes,
        sizeBytes: (head.u32(1028) + 1) * pageBytes,
      },
      survey: async () => survey(head, pageBytes, volumeBytes),
    }
  }
  return undefined
}

function survey(head: Fields, pageBytes: number, volumeBytes: number): Survey {
  const at = pageBytes - SIGNATURE_BYTES
  if (HIBERNATION.some((signature) => head.says(at, signature))) {
    throw new SurveyError('hibernated', 'it holds the memory of a machine that sleeps')
  }
  ensure(head.says(at, 'SWAPSPACE2'), 'unknown-feature', 'swap space of the old kind is not known')
  // A header of a machine with the other order of bytes says something else than 1 here.
  ensure(head.u32(1024) === 1, 'unknown-feature', `version ${head.u32(1024)} is not known`)
  const lastPage = head.u32(1028)
  ensure(lastPage > 0, 'inconsistent', 'it has no pages')
  ensure(
    (lastPage + 1) * pageBytes <= volumeBytes,
    'out-of-range',
    `it has ${(lastPage + 1) * pageBytes} bytes, its volume ${volumeBytes}`,
  )
  return { notUsed: [{ offset: pageBytes, length: lastPage * pageBytes, use: 'swap' }] }
}
