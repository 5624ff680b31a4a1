import {
  type BlockSource,
  type DirectRead,
  type DiskDescription,
  type DiskPolicy,
  type Extent,
  PlatterError,
  type SourceCallOptions,
  type SourceInfo,
} from '@platter/core'
import { describeDisk } from './describe-disk.ts'
import { markUnused } from './mark-unused.ts'
import { assertSameUse } from './same-use.ts'
import { type DiskSurvey, type SurveyOptions, surveyDisk } from './survey-disk.ts'
import { unusedRanges } from './unused-ranges.ts'

/** Options of {@link DiskSource.open}. */
export interface DiskSourceOptions extends SurveyOptions {
  /** Default `used`. */
  readonly policy?: DiskPolicy
}

const POLICIES: readonly string[] = ['used', 'used-and-swap', 'exact'] satisfies readonly DiskPolicy[]

/**
 * A source that knows what is on it: the ranges that its filesystems do not use are `unused` in its extents, and
 * `disk` describes what was found. All else is as the source within has it.
 */
export class DiskSource implements BlockSource {
  readonly info: SourceInfo
  readonly sequential = false
  readonly direct?: DirectRead
  readonly disk: DiskDescription
  /** What was found when it was opened. */
  readonly survey: DiskSurvey
  readonly policy: DiskPolicy
  readonly #source: BlockSource
  readonly #options: SurveyOptions

  private constructor(source: BlockSource, policy: DiskPolicy, survey: DiskSurvey, options: SurveyOptions) {
    this.info = source.info
    if (source.direct !== undefined) this.direct = source.direct
    this.policy = policy
    this.survey = survey
    this.disk = describeDisk(survey, policy)
    this.#source = source
    this.#options = options
  }

  /**
   * Looks at what is on a source that can be read at random. It belongs to the result from then on, which closes it.
   *
   * @throws ERR_INVALID_ARGUMENT for a policy that is none; ERR_SOURCE_UNSUPPORTED for a stream; what the source throws.
   */
  static async open(source: BlockSource, options: DiskSourceOptions = {}): Promise<DiskSource> {
    const { policy = 'used', ...surveyOptions } = options
    if (!POLICIES.includes(policy)) {
      throw new PlatterError(
        'ERR_INVALID_ARGUMENT',
        `What is read of a disk is one of ${POLICIES.join(', ')}, not '${String(policy)}'.`,
      )
    }
    return new DiskSource(source, policy, await surveyDisk(source, surveyOptions), surveyOptions)
  }

  extents(options?: SourceCallOptions): AsyncIterable<Extent> {
    return markUnused(this.#source.extents(options), unusedRanges(this.survey, this.policy))
  }

  async read(offset: number, into: Uint8Array, options?: SourceCallOptions): Promise<number> {
    return await this.#source.read(offset, into, options)
  }

  /**
   * Asks the source, and looks again at what is in use: a filesystem that was written to meanwhile may use by now what
   * was left out.
   *
   * @throws ERR_SOURCE_CHANGED, and what the source throws.
   */
  async assertUnchanged(): Promise<void> {
    await this.#source.assertUnchanged()
    if (this.policy === 'exact') return
    const { signal: _, ...options } = this.#options
    assertSameUse(this.survey, await surveyDisk(this.#source, options), this.info.label)
  }

  async close(): Promise<void> {
    await this.#source.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
