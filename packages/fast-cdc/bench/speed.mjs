// Measures the speed of each part, in GB (10^9 bytes) of input a second on one core: node bench/speed.mjs
// All parts take turns, so that a busy machine slows all alike; of each, the median and the best turn are shown.
import { randomFillSync } from 'node:crypto'
import { AlignedChunker, BLOCK_BYTES, createBlockScanner, createKernels, FastCdcChunker } from 'fast-cdc'

const turns = 41
const keys = { digestKey: key(1), cutKey: key(2), gearKey: key(3) }

console.log('what                          slab      median     best   GB/s')
for (const [implementation, slabs] of [
  ['wasm', [256 * 1024, 1024 * 1024, 8 * 1024 * 1024]],
  ['js', [1024 * 1024]],
]) {
  for (const slabBytes of slabs) measure(implementation, slabBytes)
}

function measure(implementation, slabBytes) {
  const kernels = createKernels({ slabBytes, implementation })
  const scanner = createBlockScanner({ key: keys.digestKey, kernels })
  const aligned = new AlignedChunker({ ...keys, implementation })
  const fastCdc = new FastCdcChunker({ ...keys, kernels })
  const blockCount = slabBytes / BLOCK_BYTES
  const { slab } = scanner
  const elsewhere = randomFillSync(new Uint8Array(slabBytes))
  const parts = {
    'scan, zeros': [() => slab.fill(0), () => scanner.scan(0, blockCount)],
    scan: [() => slab.set(elsewhere), () => scanner.scan(0, blockCount)],
    'aligned (scan, tags, cuts)': [
      () => {},
      () => {
        scanner.scan(0, blockCount)
        aligned.pushDigests(scanner.digests, 0, blockCount)
      },
    ],
    'fastcdc in the slab': [() => {}, () => fastCdc.push(slab)],
    'fastcdc copied': [() => {}, () => fastCdc.push(elsewhere)],
  }
  const speeds = new Map(Object.keys(parts).map((name) => [name, []]))
  const repeats = Math.ceil((implementation === 'js' ? 2 ** 22 : 2 ** 24) / slabBytes)
  for (let turn = -10; turn < turns; turn++) {
    for (const [name, [prepare, run]] of Object.entries(parts)) {
      prepare()
      const start = performance.now()
      for (let i = 0; i < repeats; i++) run()
      const speed = (repeats * slabBytes) / (performance.now() - start) / 1e6
      if (turn >= 0) speeds.get(name).push(speed)
    }
  }
  for (const [name, values] of speeds) {
    values.sort((a, b) => a - b)
    const label = `${implementation}: ${name}`.padEnd(34)
    const [median, best] = [values[turns >> 1], values[turns - 1]].map((value) =>
      value.toFixed(2).padStart(8),
    )
    console.log(`${label}${String(slabBytes / 1024).padStart(5)} KiB ${median} ${best}`)
  }
}

function key(byte) {
  return new Uint8Array(32).fill(byte)
}
