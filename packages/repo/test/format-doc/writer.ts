// A writer of repositories written from docs/format.md alone: one snapshot, everything stored as it is.
import { randomBytes } from 'node:crypto'
import { cutImage, type Range } from './cutter.ts'
import { messagePack } from './libraries.ts'
import { deriveKeys, hash, hex, imageDigest, seal, u32 } from './primitives.ts'
import type { Config } from './reader.ts'

/** An object of a repository. */
export interface NamedObject {
  readonly name: string
  readonly bytes: Uint8Array
}

/** A repository with one snapshot of `image`, as its objects in the order in which they must be created. */
export function writeRepository(
  chunker: Config['chunker'],
  regionBytes: number,
  image: Uint8Array,
  ranges: readonly Range[],
): { readonly snapshot: string; readonly objects: readonly NamedObject[] } {
  const config: Config = {
    version: 1,
    id: randomBytes(16),
    crypto: 'none',
    secret: randomBytes(32),
    chunker,
    regionBytes,
    packBytes: 1024 * 1024,
    requiredFeatures: [],
    optionalFeatures: ['a feature that readers may ignore'],
  }
  const keys = deriveKeys(config.secret, config.id)
  const { root, blobs } = cutImage(config, keys, image, ranges)
  const session = randomBytes(16).toString('hex')
  const ofType = (type: 0 | 1): Blob[] => [...blobs.values()].filter((blob) => blob.type === type)
  const packs = [ofType(0), ofType(1)].filter((list) => list.length > 0).map(packFile)
  const digest = imageDigest(keys, image.length, regionBytes, (region) =>
    image.subarray(region * regionBytes, (region + 1) * regionBytes),
  )
  const snapshot = {
    version: 1,
    requiredFeatures: [],
    name: 'independent',
    host: 'somewhere',
    time: '2026-11-22T15:31:07.250+01:00',
    tags: ['format'],
    parent: null,
    program: 'a writer after docs/format.md',
    volumes: [
      {
        sizeBytes: image.length,
        root: root ?? null,
        imageDigest: digest,
        source: { kind: 'memory', label: 'an image', logicalSectorBytes: 512, physicalSectorBytes: 4096 },
        badRanges: [[4096, 512]],
      },
    ],
    stats: {
      bytesTotal: image.length,
      bytesRead: image.length,
      bytesHole: 0,
      bytesNew: 0,
      bytesStored: 0,
      chunksNew: 0,
      chunksKnown: 0,
      seconds: 0.5,
    },
    aFieldOfALaterVersion: { ignored: true },
  }
  const record = (name: string, type: number, value: unknown): NamedObject => ({
    name,
    bytes: seal(name, type, messagePack.pack(value)),
  })
  const segment = `index/${session}/000000`
  return {
    snapshot: session,
    objects: [
      record('config', 1, config),
      record(`sessions/${session}/000000`, 2, { version: 1, generation: 0 }),
      ...packs.map(({ name, bytes }) => ({ name, bytes })),
      { name: segment, bytes: seal(segment, 3, indexPayload(packs)) },
      record(`snapshots/${session}`, 4, snapshot),
    ],
  }
}

interface Blob {
  readonly id: Uint8Array
  readonly type: 0 | 1
  readonly bytes: Uint8Array
}

interface Pack extends NamedObject {
  readonly id: Uint8Array
  readonly entries: readonly Buffer[]
}

/** Section 8. */
function packFile(blobs: readonly Blob[]): Pack {
  const header = Buffer.concat([
    Buffer.from('PLTRPACK', 'latin1'),
    Buffer.of(1, 0),
    Buffer.alloc(22),
    randomBytes(32),
  ])
  let at = header.length
  const entries = blobs.map(({ id, type, bytes }) => {
    const entry = Buffer.concat([id, u32(at), u32(bytes.length), u32(bytes.length), Buffer.of(0, type, 0, 0)])
    at += bytes.length
    return entry
  })
  const directory = Buffer.concat(entries)
  const fields = Buffer.concat([u32(at), u32(directory.length), u32(entries.length), Buffer.alloc(12)])
  const trailer = Buffer.concat([fields, hash(header, directory, fields), Buffer.from('PLTRPEND', 'latin1')])
  const bytes = Buffer.concat([header, ...blobs.map((blob) => blob.bytes), directory, trailer])
  const id = hash(bytes)
  return { id, name: `packs/${hex(id).slice(0, 2)}/${hex(id)}`, bytes, entries }
}

/** Section 10. */
function indexPayload(packs: readonly Pack[]): Buffer {
  const rows = packs
    .flatMap(({ entries }, pack) => entries.map((entry) => ({ entry, pack })))
    .sort((a, b) => Buffer.compare(a.entry.subarray(0, 32), b.entry.subarray(0, 32)))
  return Buffer.concat([
    u32(rows.length),
    u32(packs.length),
    Buffer.alloc(8),
    ...packs.flatMap(({ id, bytes, entries }) => [id, u32(bytes.length), u32(entries.length)]),
    ...rows.map(({ entry }) => entry.subarray(0, 32)),
    ...rows.map(({ pack }) => u32(pack)),
    ...rows.map(({ entry }) => entry.subarray(32)),
  ])
}
