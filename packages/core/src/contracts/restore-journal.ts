/**
 * Where a restore notes how far it has come, so that the next attempt goes on from there. What is kept is the business
 * of whoever keeps it; here it is some two hundred bytes, none of them secret. Two restores must not share one.
 */
export interface RestoreJournal {
  /** Where it is, for messages. */
  readonly label: string

  /** What was saved last; undefined where nothing is. @throws ERR_JOURNAL_IO when that cannot be told. */
  load(): Promise<Uint8Array | undefined>

  /**
   * Keeps `bytes` in place of what was kept. When it resolves, they are durable; when it fails, or the process dies, the
   * bytes before or these are there, whole.
   *
   * @throws ERR_JOURNAL_IO
   */
  save(bytes: Uint8Array): Promise<void>

  /** Forgets what was saved; no error where nothing is. @throws ERR_JOURNAL_IO */
  remove(): Promise<void>
}
