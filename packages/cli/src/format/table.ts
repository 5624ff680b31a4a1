/** Rows in columns two spaces apart; the columns whose indexes are in `right` end flush right. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = []
  for (const row of rows) {
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, widthOf(cell))
    })
  }
  return rows
    .map((row) =>
      row
        .map((cell, index) => {
          const space = ' '.repeat(widths[index]! - widthOf(cell))
          return right.includes(index) ? space + cell : cell + space
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Characters, not UTF-16 units; good enough for names in most scripts. */
function widthOf(text: string): number {
  return [...text].length
}
