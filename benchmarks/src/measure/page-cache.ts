import { open } from 'node:fs/promises'

/** Reads a file from beginning to end, so that the next to read it finds it in memory. */
export async function warmPageCache(path: string, signal?: AbortSignal): Promise<void> {
  await using file = await open(path)
  const buffer = Buffer.alloc(4 << 20)
  do signal?.throwIfAborted()
  while ((await file.read(buffer, 0, buffer.length)).bytesRead > 0)
}
