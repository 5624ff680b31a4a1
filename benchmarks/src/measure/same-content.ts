import { open } from 'node:fs/promises'

/** Tells whether two files have the same length and bytes. */
export async function haveSameContent(one: string, other: string, signal?: AbortSignal): Promise<boolean> {
  await using a = await open(one)
  await using b = await open(other)
  if ((await a.stat()).size !== (await b.stat()).size) return false
  const [left, right] = [Buffer.alloc(4 << 20), Buffer.alloc(4 << 20)]
  for (;;) {
    signal?.throwIfAborted()
    const { bytesRead } = await a.read(left, 0, left.length)
    if (bytesRead === 0) return true
    await b.read(right, 0, bytesRead)
    if (!left.subarray(0, bytesRead).equals(right.subarray(0, bytesRead))) return false
  }
}
