// Writes to an overlay, flushes, writes on, and waits to be killed.
import { Overlay } from '@platter/fs-adapters'
import { pattern } from './assertions.ts'
import { MemoryImage } from './memory-image.ts'

const bytes = Buffer.from(pattern(300_001))
bytes.fill(0, 70_000, 250_000)
const overlay = await Overlay.open(process.argv[2]!, new MemoryImage(bytes), { base: 'snapshot 1' })
await overlay.write(10_000, Buffer.alloc(10_000, 1))
await overlay.zero(30_000, 10_000)
await overlay.flush()
await overlay.write(60_000, Buffer.alloc(10_000, 2))
process.send!('flushed')
setInterval(() => undefined, 1000)
