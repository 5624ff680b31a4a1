/** Less is not worth the call. */
const MIN_BYTES = 64 * 1024

/**
 * Frees the memory of a byte string at once, where the runtime can (Node >= 21), instead of when the garbage
 * collector comes by: chunks are large and many, and the collector sees only small objects. Nothing may use the
 * bytes, or any view of the same memory, afterwards.
 */
export function releaseMemory(bytes: Uint8Array): void {
  const memory = bytes.buffer as ArrayBuffer & { transfer?: (length: number) => ArrayBuffer }
  if (memory.transfer === undefined || memory.byteLength < MIN_BYTES) return
  // Small buffers are cut from a common pool, which others have views of.
  if (memory.byteLength <= Buffer.poolSize) return
  try {
    memory.transfer(0)
  } catch {
    // Memory that native code made cannot be taken away from it; the collector frees it.
  }
}
