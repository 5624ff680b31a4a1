/** Memory that several users share: who takes more than is left waits, in the order of asking. */
export class ByteBudget {
  readonly #maxBytes: number
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = []
  #used = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Resolves, with what gives them back, when so many bytes may be used. More than there are in all counts as all. */
  async take(bytes: number): Promise<() => void> {
    const held = Math.min(bytes, this.#maxBytes)
    if (this.#waiting.length > 0 || this.#used + held > this.#maxBytes)
      await new Promise<void>((go) => this.#waiting.push({ bytes: held, go }))
    else this.#used += held
    let returned = false
    return () => {
      if (returned) return
      returned = true
      this.#used -= held
      this.#wake()
    }
  }

  #wake(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#used + next.bytes > this.#maxBytes) return
      this.#waiting.shift()
      this.#used += next.bytes
      next.go()
    }
  }
}
