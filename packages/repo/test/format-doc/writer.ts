// A writer of repositories written from docs/format.md alone: one snapshot, everything stored as it is.
import { randomBytes } from 'node:crypto'
import { cutImage, type Range } from './cutter.ts'
import { PackSeal, Records, sealSlot } from './encryption.ts'
import { messagePack } from './libraries.ts'
import { deriveKeys, hash, hex, imageDigest, type Keys, sealPlain, u32 } from './primitives.ts'
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
  passphrase?: string,
): { readonly snapshot: string; readonly objects: readonly NamedObject[] } {
  const config: Config = {
    version: 1,
    id: randomBytes(16),
    crypto: passphrase === undefined ? 'none' : 'aes-256-gcm',
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
  const packs = [ofType(0), ofType(1)]
    .filter((list) => list.length > 0)
    .map((list) => packFile(list, passphrase === undefined ? undefined : keys))
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
  const records = new Records(passphrase === undefined ? undefined : keys.metadata)
  const record = (name: string, type: number, value: unknown): NamedObject => ({
    name,
    bytes: records.seal(name, type, messagePack.pack(value)),
  })
  const segment = `index/${session}/000000`
  return {
    snapshot: session,
    objects: [
      ...configObjects(config, records, passphrase),
      record(`sessions/${session}/000000`, 2, { version: 1, generation: 0 }),
      ...packs.map(({ name, bytes }) => ({ name, bytes })),
      { name: segment, bytes: records.seal(segment, 3, indexPayload(packs)) },
      record(`snapshots/${session}`, 4, snapshot),
    ],
  }
}

/** Sections 5 and 16. */
function configObjects(config: Config, records: Records, passphrase: string | undefined): NamedObject[] {
  const object = (value: unknown): NamedObject => ({
    name: 'config',
    bytes: sealPlain('config', 1, messagePack.pack(value)),
  })
  if (passphrase === undefined) return [object(config)]
  const { secret, ...fields } = config
  const { version, id, crypto, requiredFeatures } = config
  const sealed = records.seal('config', 1, messagePack.pack(fields))
  const slot = `keys/${randomBytes(16).toString('hex')}`
  return [
    { name: slot, bytes: sealSlot(slot, id, secret, passphrase) },
    object({ version, id, crypto, requiredFeatures, sealed }),
  ]
}

interface Blob {
  readonly id: Uint8Array
  readonly type: 0 | 1
  readonly bytes: Uint8Array
}

interface Pack extends NamedObject {
  readonly id: Uint8Array
  readonly salt: Uint8Array
  readonly entries: readonly Buffer[]
}

/** Section 8. */
function packFile(blobs: readonly Blob[], keys: Keys | undefined): Pack {
  const salt = randomBytes(32)
  const seal = keys === undefined ? undefined : new PackSeal(keys.packs, salt)
  const header = Buffer.concat([
    Buffer.from('PLTRPACK', 'latin1'),
    Buffer.of(1, seal === undefined ? 0 : 1),
    Buffer.alloc(22),
    salt,
  ])
  let at = header.length
  const sealed: Uint8Array[] = []
  const entries = blobs.map(({ id, type, bytes }) => {
    const length = bytes.length + (seal === undefined ? 0 : 16)
    const entry = Buffer.concat([id, u32(at), u32(length), u32(bytes.length), Buffer.of(0, type, 0, 0)])
    sealed.push(seal === undefined ? bytes : seal.sealBlob(entry, bytes))
    at += length
    return entry
  })
  const plain = Buffer.concat(entries)
  if (seal === undefined) {
    const fields = Buffer.concat([u32(at), u32(plain.length), u32(entries.length), Buffer.alloc(12)])
    return packOf(header, sealed, plain, fields, entries)
  }
  // Filled up with another length than Platter's own.
  const padding = seal.sealPart('PLTRPPAD', at, Buffer.alloc(at % 100), header)
  const directoryAt = at + padding.length
  const trailerAt = directoryAt + plain.length + 16
  const places = Buffer.concat([u32(at), u32(directoryAt)])
  const fields = seal.sealPart('PLTRPTRL', trailerAt, places, header)
  const directory = seal.sealPart('PLTRPDIR', directoryAt, plain, header, fields)
  return packOf(header, [...sealed, padding], directory, fields, entries)
}

function packOf(
  header: Buffer,
  content: readonly Uint8Array[],
  directory: Buffer,
  fields: Buffer,
  entries: readonly Buffer[],
): Pack {
  const trailer = Buffer.concat([fields, hash(header, directory, fields), Buffer.from('PLTRPEND', 'latin1')])
  const bytes = Buffer.concat([header, ...content, directory, trailer])
  const salt = header.subarray(32)
  const id = hash(bytes)
  return { id, salt, name: `packs/${hex(id).slice(0, 2)}/${hex(id)}`, bytes, entries }
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
    ...packs.flatMap(({ id, salt, bytes, entries }) => [id, salt, u32(bytes.length), u32(entries.length)]),
    ...rows.map(({ entry }) => entry.subarray(0, 32)),
    ...rows.map(({ pack }) => u32(pack)),
    ...rows.map(({ entry }) => entry.subarray(32)),
  ])
}
