import * as zlib from 'node:zlib'
import { blake3 } from '@napi-rs/blake-hash'
import {
  AlignedChunker,
  BLOCK_BYTES,
  createBlockScanner,
  FastCdcChunker,
  type ImplementationChoice,
} from 'fast-cdc'
import { codecNamed } from '../bounds/codec.ts'
import { generateContent } from '../corpus/generated-content.ts'

/** One piece of work, and how many bytes it goes through. */
export interface KernelTask {
  readonly name: string
  readonly bytes: number
  readonly run: () => void
}

const DATA_BYTES = 4 << 20
const BLOCK_COUNT = DATA_BYTES / BLOCK_BYTES
const CHUNK_BYTES = 256 << 10

/** Lists the parts of platter that go through every byte, with made-up data: half text, half incompressible. */
export function kernelTasks(): KernelTask[] {
  const data = Buffer.concat([
    generateContent('text', 'kernels', DATA_BYTES / 2),
    generateContent('incompressible', 'kernels', DATA_BYTES / 2),
  ])
  const tasks = (['wasm', 'js'] as const).flatMap((implementation) => chunkingTasks(data, implementation))
  const codecs = ['lz4', ...('zstdCompressSync' in zlib ? ['zstd'] : [])]
  return [
    ...tasks,
    {
      name: 'BLAKE3 of 256 KiB chunks',
      bytes: DATA_BYTES,
      run: overAll(chunksOf(data), blake3),
    },
    ...codecs.flatMap((name) => codecTasks(data, name)),
  ]
}

function chunkingTasks(data: Uint8Array, implementation: ImplementationChoice): KernelTask[] {
  const key = new Uint8Array(32).fill(7)
  const scanner = createBlockScanner({ key, slabBytes: DATA_BYTES, implementation })
  scanner.slab.set(data)
  scanner.scan(0, BLOCK_COUNT)
  const digests = scanner.digests.slice(0, BLOCK_COUNT * 16)
  const aligned = new AlignedChunker({ digestKey: key, cutKey: key, implementation })
  const fastCdc = new FastCdcChunker({ gearKey: key, implementation })
  const task = (name: string, run: () => void) => ({
    name: `${name} (${implementation})`,
    bytes: DATA_BYTES,
    run,
  })
  return [
    task('block scan: zeros and digests', () => scanner.scan(0, BLOCK_COUNT)),
    task('aligned cuts from digests', () => void aligned.pushDigests(digests, 0, BLOCK_COUNT)),
    task('copy, scan and aligned cuts', () => {
      scanner.slab.set(data)
      scanner.scan(0, BLOCK_COUNT)
      aligned.pushDigests(scanner.digests, 0, BLOCK_COUNT)
    }),
    task('FastCDC', () => void fastCdc.push(data)),
  ]
}

function codecTasks(data: Buffer, name: string): KernelTask[] {
  const codec = codecNamed(name)
  const chunks = chunksOf(data)
  const packed = chunks.map((chunk) => codec.compress(chunk))
  return [
    {
      name: `${name}, compress`,
      bytes: DATA_BYTES,
      run: overAll(chunks, codec.compress),
    },
    {
      name: `${name}, decompress`,
      bytes: DATA_BYTES,
      run: overAll(packed, codec.decompress),
    },
  ]
}

function overAll(items: readonly Buffer[], step: (item: Buffer) => unknown): () => void {
  return () => {
    for (const item of items) step(item)
  }
}

function chunksOf(data: Buffer): Buffer[] {
  return Array.from({ length: data.length / CHUNK_BYTES }, (_, index) =>
    data.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
  )
}
