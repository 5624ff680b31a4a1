// The two hot loops, in AssemblyScript, over one imported memory. No allocation, no runtime, no static data: every
// address is given by the caller (src/wasm-kernels.ts), which lays the memory out. The definitions of what is computed,
// and the twins that compute the same in plain TypeScript, are src/nh-digest.ts and src/gear-hash.ts.

const BLOCK_BYTES: usize = 4096;
const DIGEST_BYTES: usize = 16;
/** Bytes that a 64-bit gear hash remembers: each shifts out after 64 steps. */
const WINDOW_BYTES: u32 = 64;

/** NH digests and zero flags of `blockCount` blocks from `data` on. */
export function scanBlocks(
  data: usize,
  blockCount: u32,
  key: usize,
  zeroDigest: usize,
  digests: usize,
  zeroFlags: usize,
): void {
  for (let i: u32 = 0; i < blockCount; i++) {
    if (isZeroBlock(data)) {
      v128.store(digests, v128.load(zeroDigest));
      store<u8>(zeroFlags, 1);
    } else {
      v128.store(digests, nhDigest(data, key));
      store<u8>(zeroFlags, 0);
    }
    data += BLOCK_BYTES;
    digests += DIGEST_BYTES;
    zeroFlags += 1;
  }
}

/** Looks at 64 bytes at a time, so that a block with anything in its first line costs four loads. */
// @ts-ignore: decorator
@inline
function isZeroBlock(data: usize): bool {
  const end = data + BLOCK_BYTES;
  do {
    const line = v128.or(
      v128.or(v128.load(data, 0), v128.load(data, 16)),
      v128.or(v128.load(data, 32), v128.load(data, 48)),
    );
    if (v128.any_true(line)) return false;
    data += 64;
  } while (data < end);
  return true;
}

/** Four accumulators keep the multiplier's pipeline full; addition mod 2^64 lets them be summed in any order. */
// @ts-ignore: decorator
@inline
function nhDigest(data: usize, key: usize): v128 {
  const end = data + BLOCK_BYTES;
  let sum0 = i64x2.splat(0);
  let sum1 = sum0;
  let sum2 = sum0;
  let sum3 = sum0;
  do {
    let left = i32x4.add(v128.load(data, 0), v128.load(key, 0));
    let right = i32x4.add(v128.load(data, 16), v128.load(key, 16));
    sum0 = i64x2.add(sum0, i64x2.extmul_low_i32x4_u(left, right));
    sum1 = i64x2.add(sum1, i64x2.extmul_high_i32x4_u(left, right));
    left = i32x4.add(v128.load(data, 32), v128.load(key, 32));
    right = i32x4.add(v128.load(data, 48), v128.load(key, 48));
    sum2 = i64x2.add(sum2, i64x2.extmul_low_i32x4_u(left, right));
    sum3 = i64x2.add(sum3, i64x2.extmul_high_i32x4_u(left, right));
    data += 64;
    key += 64;
  } while (data < end);
  return i64x2.add(i64x2.add(sum0, sum1), i64x2.add(sum2, sum3));
}

/**
 * Continues the FastCDC search over `byteCount` bytes at `data`. `state` holds the hash (u64) and the bytes of the
 * chunk so far (u32); both are updated. Cut positions, counted from `data`, go to `cuts` as u32; returns their count.
 * The masks are the high halves of 64-bit masks whose low halves are zero, so that no parameter has to be a BigInt.
 */
export function findGearCuts(
  data: usize,
  byteCount: u32,
  gear: usize,
  state: usize,
  minBytes: u32,
  averageBytes: u32,
  maxBytes: u32,
  strictMask: u32,
  looseMask: u32,
  cuts: usize,
): u32 {
  const end = data + byteCount;
  const skipBytes = minBytes - WINDOW_BYTES;
  const firstCut = cuts;
  let hash = load<u64>(state);
  let chunkBytes = load<u32>(state, 8);
  let at = data;
  while (at < end) {
    const left: u32 = end - at;
    if (chunkBytes < skipBytes) {
      const step = min(left, skipBytes - chunkBytes);
      at += step;
      chunkBytes += step;
      continue;
    }
    if (chunkBytes + 1 < minBytes) {
      const step = min(left, minBytes - 1 - chunkBytes);
      const stop = at + step;
      while (at < stop) {
        hash = roll(hash, at, 0, gear);
        at++;
      }
      chunkBytes += step;
      continue;
    }

    const strict = chunkBytes + 1 < averageBytes;
    const mask = (<u64>(strict ? strictMask : looseMask)) << 32;
    const step = min(left, (strict ? averageBytes - 1 : maxBytes) - chunkBytes);
    const start = at;
    const stop = at + step;
    const unrolledStop = at + (step & ~3);
    let hit = false;
    while (at < unrolledStop) {
      hash = roll(hash, at, 0, gear);
      if (!(hash & mask)) { at += 1; hit = true; break; }
      hash = roll(hash, at, 1, gear);
      if (!(hash & mask)) { at += 2; hit = true; break; }
      hash = roll(hash, at, 2, gear);
      if (!(hash & mask)) { at += 3; hit = true; break; }
      hash = roll(hash, at, 3, gear);
      if (!(hash & mask)) { at += 4; hit = true; break; }
      at += 4;
    }
    while (!hit && at < stop) {
      hash = roll(hash, at, 0, gear);
      at++;
      hit = !(hash & mask);
    }
    chunkBytes += <u32>(at - start);
    if (hit || chunkBytes == maxBytes) {
      store<u32>(cuts, <u32>(at - data));
      cuts += 4;
      chunkBytes = 0;
    }
  }
  store<u64>(state, hash);
  store<u32>(state, chunkBytes, 8);
  return <u32>((cuts - firstCut) >> 2);
}

// @ts-ignore: decorator
@inline
function roll(hash: u64, at: usize, offset: usize, gear: usize): u64 {
  return (hash << 1) + load<u64>(gear + (<usize>load<u8>(at + offset) << 3));
}
