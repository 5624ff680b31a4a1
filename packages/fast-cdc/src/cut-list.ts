/** A list of cut positions that is filled and cleared again without allocating, once it has grown to its size. */
export class CutList {
  positions: Float64Array = new Float64Array(64)
  count = 0

  clear(): void {
    this.count = 0
  }

  append(position: number): void {
    if (this.count === this.positions.length) {
      const larger = new Float64Array(2 * this.positions.length)
      larger.set(this.positions)
      this.positions = larger
    }
    this.positions[this.count++] = position
  }
}
