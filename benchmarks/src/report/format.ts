/** Seconds with as many digits as can be meant. */
export function formatSeconds(seconds: number): string {
  if (seconds >= 100) return seconds.toFixed(0)
  return seconds >= 10 ? seconds.toFixed(1) : seconds.toFixed(2)
}

/** Bytes in MB, without a unit. */
export function formatMegabytes(bytes: number): string {
  const megabytes = bytes / 1e6
  return megabytes >= 10 ? megabytes.toFixed(0) : megabytes.toFixed(1)
}

export function formatRatio(ratio: number): string {
  return `${ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2)}×`
}

/** A power-of-two size with its unit. */
export function formatBinary(bytes: number): string {
  const gib = bytes / 2 ** 30
  return gib >= 1 ? `${Number(gib.toFixed(1))} GiB` : `${Number((bytes / 2 ** 20).toFixed(1))} MiB`
}
