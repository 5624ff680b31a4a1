import type { StatusRange } from './nbd-export.ts'

/** Ranges in one reply; the client asks again from where they end. */
const MAX_RANGES = 16 * 1024

/** Payload of a reply about one context: its id, then length and flags of each range, neighbours alike merged. */
export async function statusPayload(
  contextId: number,
  ranges: AsyncIterable<StatusRange>,
  onlyOne: boolean,
): Promise<Uint8Array> {
  const limit = onlyOne ? 1 : MAX_RANGES
  const merged: { length: number; flags: number }[] = []
  for await (const { length, flags } of ranges) {
    const last = merged.at(-1)
    if (last !== undefined && last.flags === flags) last.length += length
    else if (merged.length === limit) break
    else merged.push({ length, flags })
  }
  const payload = Buffer.alloc(4 + 8 * merged.length)
  payload.writeUInt32BE(contextId, 0)
  for (const [i, { length, flags }] of merged.entries()) {
    payload.writeUInt32BE(length, 4 + 8 * i)
    payload.writeUInt32BE(flags, 8 + 8 * i)
  }
  return payload
}
