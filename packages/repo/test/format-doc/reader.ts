// A reader of repositories written from docs/format.md alone: it checks and recomputes whatever the document defines.
import assert from 'node:assert/strict'
import * as zlib from 'node:zlib'
import { Collection } from './collection.ts'
import { assertDisk, type DiskRecord } from './disk.ts'
import { openSlot, PackSeal, Records } from './encryption.ts'
import { lz4WithPrefix, messagePack } from './libraries.ts'
import {
  deriveKeys,
  hash,
  hex,
  imageDigest,
  type Keys,
  keyedHash,
  openPlain,
  regionDigest,
  same,
  slices,
  u32,
} from './primitives.ts'

/** Section 5. */
export interface Config {
  /** The master key, in an encrypted repository. */
  readonly secret: Uint8Array
  readonly version: number
  readonly id: Uint8Array
  readonly crypto: string
  readonly chunker: {
    readonly kind: 'aligned' | 'fastcdc' | 'fixed'
    readonly minBytes: number
    readonly averageBytes: number
    readonly maxBytes: number
  }
  readonly regionBytes: number
  readonly packBytes: number
  readonly requiredFeatures: readonly string[]
  readonly optionalFeatures: readonly string[]
}

/** Section 15, as far as it is used here. */
export interface SnapshotRecord {
  readonly version: number
  readonly requiredFeatures: readonly string[]
  readonly name: string
  readonly tags: readonly string[]
  readonly parent: string | null
  readonly volumes: readonly {
    readonly sizeBytes: number
    readonly root: Uint8Array | null
    readonly imageDigest: Uint8Array
    readonly badRanges: readonly (readonly [number, number])[]
    readonly disk?: DiskRecord
  }[]
  readonly stats: Readonly<Record<string, number>>
}

/** Section 8, a directory entry, and where it was found. */
interface Place {
  readonly pack: string
  /** Salt of the pack, in hex. */
  readonly salt: string
  readonly id: string
  /** Bytes 32 to 47 of the entry, in hex. */
  readonly rest: string
  readonly offset: number
  readonly storedBytes: number
  readonly rawBytes: number
  readonly codec: number
  readonly type: number
}

interface Node {
  readonly kinds: Uint8Array
  readonly spans: readonly number[]
  readonly ids: readonly Uint8Array[]
  /** Of a leaf: digest of its region, or zeros. */
  readonly digest: Uint8Array
}

const FANOUT = 1024

/** Reads a repository given as names and bytes of all its objects. */
export class FormatReader {
  readonly config: Config
  readonly keys: Keys
  /** Codecs met in packs. */
  readonly codecs = new Set<number>()
  /** Levels of nodes read. */
  readonly levels = new Set<number>()
  /** Sessions, what is forgotten, and what a prune has come to. */
  readonly collection: Collection
  readonly #objects: ReadonlyMap<string, Uint8Array>
  readonly #records: Records
  readonly #places = new Map<string, Place>()

  /** @param passphrase of an encrypted repository. */
  constructor(objects: ReadonlyMap<string, Uint8Array>, passphrase?: string) {
    this.#objects = objects
    for (const name of objects.keys()) assert.match(name, OBJECT_NAME)
    const readable = messagePack.unpack(openPlain('config', 1, this.#object('config'))) as Config
    assert.equal(readable.version, 1)
    assert.equal(readable.crypto, passphrase === undefined ? 'none' : 'aes-256-gcm')
    assert.deepEqual(readable.requiredFeatures, [])
    this.config = passphrase === undefined ? readable : this.#openConfig(readable, passphrase)
    this.keys = deriveKeys(this.config.secret, this.config.id)
    this.#records = new Records(passphrase === undefined ? undefined : this.keys.metadata)
    this.collection = new Collection(objects, this.#records)
    const inPacks = this.#names('packs/')
      .filter((name) => !this.#isQuarantined(name))
      .flatMap((name) => this.#directory(name))
    const inIndex = this.#names('index/').flatMap((name) => this.#segment(name))
    const known = new Set(inPacks.map((place) => JSON.stringify(place)))
    for (const place of inIndex) {
      // A place counts only if its pack is there.
      if (!objects.has(place.pack)) continue
      assert.ok(known.has(JSON.stringify(place)), 'the index says what the directories say')
      this.#places.set(place.id, place)
    }
  }

  /** Sections 5 and 16: the config behind the key slots. */
  #openConfig(readable: Config, passphrase: string): Config {
    const masters = this.#names('keys/').flatMap(
      (name) => openSlot(name, readable.id, this.#object(name), passphrase) ?? [],
    )
    const [secret] = masters
    assert.ok(secret !== undefined, 'a key slot opens')
    const { sealed } = readable as Config & { readonly sealed: Uint8Array }
    const records = new Records(deriveKeys(secret, readable.id).metadata)
    const config = messagePack.unpack(records.open('config', 1, sealed)) as Config
    for (const field of ['version', 'id', 'crypto', 'requiredFeatures'] as const)
      assert.deepEqual(config[field], readable[field])
    return { ...config, secret }
  }

  /** Snapshots that are not forgotten, by id. */
  snapshots(): Map<string, SnapshotRecord> {
    const records = new Map<string, SnapshotRecord>()
    for (const id of this.collection.snapshots) {
      const name = `snapshots/${id}`
      const record = messagePack.unpack(this.#records.open(name, 4, this.#object(name))) as SnapshotRecord
      assert.equal(record.version, 1)
      assert.deepEqual(record.requiredFeatures, [])
      for (const { disk } of record.volumes) if (disk !== undefined) assertDisk(disk)
      records.set(id, record)
    }
    return records
  }

  /** The image of a snapshot, checked against all its digests. */
  restore(id: string): Uint8Array {
    const [volume, ...others] = this.snapshots().get(id)!.volumes
    assert.equal(others.length, 0)
    const { sizeBytes, root, imageDigest: expected } = volume!
    const { regionBytes } = this.config
    const image = new Uint8Array(sizeBytes)
    const regions = Math.ceil(sizeBytes / regionBytes)
    const stored = new Set<number>()
    assert.equal(root === null, sizeBytes === 0)
    if (root !== null) {
      let level = 0
      while (FANOUT ** level < regions) level++
      this.#node(root, level, 0, regions, image, stored)
    }
    const digest = imageDigest(this.keys, sizeBytes, regionBytes, (region) =>
      stored.has(region) ? image.subarray(region * regionBytes, (region + 1) * regionBytes) : undefined,
    )
    assert.ok(same(digest, expected), 'image digest')
    return image
  }

  #node(
    id: Uint8Array,
    level: number,
    region: number,
    regions: number,
    image: Uint8Array,
    stored: Set<number>,
  ): void {
    const below = FANOUT ** (level - 1)
    const covers =
      level === 0
        ? Math.min(this.config.regionBytes, image.length - region * this.config.regionBytes)
        : Math.min(FANOUT, Math.ceil((regions - region) / below))
    const { kinds, spans, ids, digest } = this.#parse(this.#blob(id, 1), level, covers)
    this.levels.add(level)
    if (level === 0) stored.add(region)
    let at = level === 0 ? region * this.config.regionBytes : region
    let next = 0
    for (const [run, kind] of kinds.entries()) {
      const span = spans[run]!
      if (level > 0) {
        if (kind === 0) this.#node(ids[next++]!, level - 1, at, regions, image, stored)
        at += span * below
        continue
      }
      if (kind === 0) {
        const chunk = this.#blob(ids[next++]!, 0)
        assert.equal(chunk.length, span)
        image.set(chunk, at)
      }
      at += span
    }
    if (level > 0) return
    const content = image.subarray(region * this.config.regionBytes, at)
    assert.ok(same(digest, regionDigest(this.keys, content) ?? Buffer.alloc(32)), 'digest of a region')
  }

  /** Section 11, encoding of a node, and its canonical form. */
  #parse(bytes: Buffer, level: number, covers: number): Node {
    assert.equal(bytes.toString('latin1', 0, 4), 'PLTN')
    assert.equal(bytes[4], 1)
    assert.equal(bytes[5], level)
    const count = bytes.readUInt32LE(8)
    const storedCount = bytes.readUInt32LE(12)
    const spansAt = 16 + Math.ceil(count / 4) * 4
    const idsAt = spansAt + 4 * count
    const idsEnd = idsAt + 32 * storedCount
    assert.equal(bytes.length, idsEnd + (level === 0 ? 32 : 0))
    const kinds = bytes.subarray(16, 16 + count)
    const spans = Array.from({ length: count }, (_, i) => bytes.readUInt32LE(spansAt + 4 * i))
    assert.equal(kinds.filter((kind) => kind === 0).length, storedCount)
    let at = 0
    for (const [i, kind] of kinds.entries()) {
      assert.ok(kind <= 2 && spans[i]! >= 1)
      if (kind !== 0) assert.notEqual(kind, kinds[i - 1], 'blank runs of a kind are merged')
      if (kind === 0 && level > 0) assert.equal(spans[i], 1)
      if (level === 0 && (kind !== 0 || (i > 0 && kinds[i - 1] !== 0))) assert.equal(at % 4096, 0)
      at += spans[i]!
    }
    assert.equal(at, covers)
    return { kinds, spans, ids: slices(bytes.subarray(idsAt, idsEnd), 32), digest: bytes.subarray(idsEnd) }
  }

  /** Plaintext of a blob, by the index. */
  #blob(id: Uint8Array, type: 0 | 1): Buffer {
    const place = this.#places.get(hex(id))
    assert.ok(place !== undefined, `the index has ${hex(id)}`)
    assert.equal(place.type, type)
    const pack = Buffer.from(this.#object(place.pack))
    const sealed = pack.subarray(place.offset, place.offset + place.storedBytes)
    const stored = this.#isEncrypted
      ? new PackSeal(this.keys.packs, Buffer.from(place.salt, 'hex')).openBlob(
          Buffer.concat([id, Buffer.from(place.rest, 'hex')]),
          sealed,
        )
      : sealed
    const plain = decoded(place, stored)
    assert.ok(same(keyedHash(type === 0 ? this.keys.chunk : this.keys.node, plain), id), 'id of a blob')
    return plain
  }

  /** Section 8: a pack's directory, after its name, header, trailer and entries were checked. */
  #directory(name: string): Place[] {
    const file = Buffer.from(this.#object(name))
    assert.equal(name, `packs/${hex(hash(file)).slice(0, 2)}/${hex(hash(file))}`)
    assert.equal(file.toString('latin1', 0, 8), 'PLTRPACK')
    assert.equal(file[8], 1)
    assert.equal(file[9], this.#isEncrypted ? 1 : 0)
    const salt = file.subarray(32, 64)
    const trailer = file.subarray(-64)
    assert.equal(trailer.toString('latin1', 56), 'PLTRPEND')
    const [header, fields] = [file.subarray(0, 64), trailer.subarray(0, 24)]
    const seal = this.#isEncrypted ? new PackSeal(this.keys.packs, salt) : undefined
    const { blobsEnd, at } =
      seal === undefined ? plainTrailer(trailer, file.length) : sealedTrailer(seal, file)
    const stored = file.subarray(at, -64)
    assert.ok(same(hash(header, stored, fields), trailer.subarray(24, 56)))
    const directory = seal === undefined ? stored : seal.openPart('PLTRPDIR', at, stored, header, fields)
    return slices(directory, 48).map((entry) => {
      const rest = Buffer.from(entry.subarray(32))
      const place = this.#placeOf(name, salt, hex(entry.subarray(0, 32)), rest)
      assert.ok(place.offset >= 64 && place.offset + place.storedBytes <= blobsEnd)
      this.codecs.add(place.codec)
      return place
    })
  }

  /** Section 10. */
  #segment(name: string): Place[] {
    const payload = this.#records.open(name, 3, this.#object(name))
    const entryCount = payload.readUInt32LE(0)
    const packCount = payload.readUInt32LE(4)
    const idsAt = 16 + 72 * packCount
    const numbersAt = idsAt + 32 * entryCount
    const placesAt = numbersAt + 4 * entryCount
    assert.equal(payload.length, placesAt + 16 * entryCount)
    const packs = slices(payload.subarray(16, idsAt), 72).map((row) => {
      const id = hex(row.subarray(0, 32))
      const pack = `packs/${id.slice(0, 2)}/${id}`
      const counts = Buffer.from(row.subarray(64))
      assert.equal(counts.readUInt32LE(0), this.#objects.get(pack)?.length ?? counts.readUInt32LE(0))
      return { pack, salt: row.subarray(32, 64), entryCount: counts.readUInt32LE(4) }
    })
    const ids = slices(payload.subarray(idsAt, numbersAt), 32)
    const rows = ids.map((id, i) => {
      if (i > 0) assert.ok(Buffer.compare(ids[i - 1]!, id) <= 0, 'ids ascend')
      const number = payload.readUInt32LE(numbersAt + 4 * i)
      const place = payload.subarray(placesAt + 16 * i, placesAt + 16 * (i + 1))
      return this.#placeOf(packs[number]!.pack, packs[number]!.salt, hex(id), place)
    })
    for (const { pack, entryCount: expected } of packs)
      assert.equal(rows.filter((row) => row.pack === pack).length, expected)
    return rows
  }

  get #isEncrypted(): boolean {
    return this.config.crypto !== 'none'
  }

  /** @param bytes 32 to 47 of a directory entry. */
  #placeOf(pack: string, salt: Uint8Array, id: string, bytes: Buffer): Place {
    assert.equal(bytes.readUInt16LE(14), 0)
    const place = {
      pack,
      salt: hex(salt),
      id,
      rest: hex(bytes),
      offset: bytes.readUInt32LE(0),
      storedBytes: bytes.readUInt32LE(4),
      rawBytes: bytes.readUInt32LE(8),
      codec: bytes.readUInt8(12),
      type: bytes.readUInt8(13),
    }
    const tagBytes = this.#isEncrypted ? 16 : 0
    assert.ok(place.codec <= 2 && place.type <= 1 && place.storedBytes > tagBytes && place.rawBytes >= 1)
    if (place.codec === 0) assert.equal(place.storedBytes, place.rawBytes + tagBytes)
    return place
  }

  /** Section 16: the ranges that the newest mark of each snapshot lists. */
  damage(): Map<string, readonly (readonly [number, number])[]> {
    const marks = new Map<string, readonly (readonly [number, number])[]>()
    for (const name of this.#names('damage/')) {
      const record = messagePack.unpack(this.#records.open(name, 16, this.#object(name))) as {
        readonly version: number
        readonly ranges: readonly (readonly [number, number])[]
      }
      assert.equal(record.version, 1)
      let end = 0
      for (const [offset, length] of record.ranges) {
        assert.ok(offset >= end && length >= 1)
        end = offset + length
      }
      marks.set(name.split('/')[1]!, record.ranges)
    }
    return marks
  }

  #isQuarantined(pack: string): boolean {
    const name = `quarantine/${pack.slice('packs/00/'.length)}`
    if (!this.#objects.has(name)) return false
    assert.deepEqual(messagePack.unpack(this.#records.open(name, 17, this.#object(name))), { version: 1 })
    return true
  }

  #object(name: string): Uint8Array {
    const bytes = this.#objects.get(name)
    assert.ok(bytes !== undefined, `there is an object ${name}`)
    return bytes
  }

  #names(prefix: string): string[] {
    return [...this.#objects.keys()].filter((name) => name.startsWith(prefix)).sort()
  }
}

const OBJECT_NAME =
  /^(config|gc\/[1-9][0-9]*\.(mark|sweep|done)|(sessions|index|damage)\/[0-9a-f]{32}\/[0-9]{6}|quarantine\/[0-9a-f]{64}|packs\/[0-9a-f]{2}\/[0-9a-f]{64}|(snapshots|forget|keys)\/[0-9a-f]{32}|key-removals\/[0-9]{6})$/

/** Section 8: where the directory of a pack without encryption begins, which is where its blobs end. */
function plainTrailer(trailer: Buffer, fileBytes: number): { blobsEnd: number; at: number } {
  const at = trailer.readUInt32LE(0)
  assert.equal(trailer.readUInt32LE(4), 48 * trailer.readUInt32LE(8))
  assert.equal(at + trailer.readUInt32LE(4) + 64, fileBytes)
  return { blobsEnd: at, at }
}

/** Section 8: the same of a sealed pack, and what is between the two. */
function sealedTrailer(seal: PackSeal, file: Buffer): { blobsEnd: number; at: number } {
  const header = file.subarray(0, 64)
  const fields = seal.openPart('PLTRPTRL', file.length - 64, file.subarray(-64, -40), header)
  assert.equal(fields.length, 8)
  const [blobsEnd, at] = [fields.readUInt32LE(0), fields.readUInt32LE(4)]
  assert.equal((file.length - 64 - 16 - at) % 48, 0)
  const padding = seal.openPart('PLTRPPAD', blobsEnd, file.subarray(blobsEnd, at), header)
  assert.ok(padding.every((byte) => byte === 0))
  return { blobsEnd, at }
}

/** Section 9. */
function decoded({ codec, rawBytes }: Place, stored: Buffer): Buffer {
  if (codec === 0) return stored
  const plain =
    codec === 1
      ? Buffer.from(lz4WithPrefix(Buffer.concat([u32(rawBytes), stored])))
      : zlib.zstdDecompressSync(stored)
  assert.equal(plain.length, rawBytes)
  return plain
}
