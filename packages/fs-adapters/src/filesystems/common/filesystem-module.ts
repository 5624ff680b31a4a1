import type { FilesystemIdentity, FilesystemProblem, VolumeExtent } from '../filesystem-map.ts'
import type { Volume } from '../volume.ts'
import type { Fields } from './fields.ts'
import type { VolumeReader } from './volume-reader.ts'

/**
 * Knows one kind of filesystem: how to recognise it, and how to find out what it uses.
 *
 * A module says that a range is free only after it has checked everything it relies on. At whatever it does not
 * understand, or finds other than it must be, it throws a `SurveyError`, and the volume is read whole; it never
 * guesses, and never leaves out a range for which it has no positive statement of the filesystem.
 */
export interface FilesystemModule {
  /**
   * Looks for the marks of the filesystem in the first `HEAD_BYTES` of a volume, or in all of a smaller one. Undefined
   * when they are not there. Says what the head says without checking it; what does not fit in is for `survey` to find.
   */
  probe(head: Fields, volumeBytes: number): RecognisedFilesystem | undefined
}

/** A filesystem whose marks were found. Nothing is known yet about its state. */
export interface RecognisedFilesystem {
  readonly identity: FilesystemIdentity

  /**
   * Finds out what is in use. Called once. Work and memory must be bounded by what the reader grants, whatever the
   * volume says: sizes are checked before room is made for them, and anything that is followed from one structure to
   * the next is read through the reader, which has a budget.
   *
   * @throws SurveyError when that cannot be said for sure.
   */
  survey(reader: VolumeReader, inner: InnerVolumes): Promise<Survey>
}

/** For what is no filesystem but has volumes in it: each is looked at like one that stands by itself. */
export interface InnerVolumes {
  /**
   * Finds out what a volume within this one does not use, which is nothing where that cannot be said. Its reads come
   * from the reader of the outer one, and what they ask for counts for its budget. Volumes within inner ones are not
   * looked at.
   */
  probe(name: string, volume: Volume): Promise<Iterable<VolumeExtent>>

  /** Notes a volume that is kept whole without a look at what is in it. */
  keep(name: string, sizeBytes: number, problem: FilesystemProblem): void
}

/** What a survey found. */
export interface Survey {
  /**
   * Ascending ranges within the volume that do not overlap: all that are not used. Everything else is. Iterated more
   * than once.
   */
  readonly notUsed: Iterable<VolumeExtent>
  /** Label of a filesystem that does not have it in its head. */
  readonly label?: string | undefined
}
