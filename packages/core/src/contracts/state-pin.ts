/**
 * Where a client keeps what it last saw of a repository: on its own side, out of the store's reach. What is kept is the
 * business of whoever keeps it; here it is bytes, some twenty for each snapshot there ever was. Nothing in them is
 * secret. There is one for each repository, which any number of clients may share.
 */
export interface StatePin {
  /** Where it is, for messages. */
  readonly label: string

  /** What was kept last; undefined where nothing ever was. @throws ERR_PIN_IO when that cannot be told. */
  load(): Promise<Uint8Array | undefined>

  /**
   * Keeps what `merge` makes of what is kept now. When it resolves, that is durable; when it fails, or the process dies,
   * the bytes before or those after are there, whole. Of two calls at a time, in whatever processes, the second
   * should be given what the first made; where it is not, a client learns of a rollback later than it could have.
   *
   * @throws ERR_PIN_IO, and what `merge` throws.
   */
  update(merge: (current: Uint8Array | undefined) => Uint8Array): Promise<void>
}
