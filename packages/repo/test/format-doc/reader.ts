// A reader of repositories written from docs/format.md alone: it checks and recomputes whatever the document defines.
import assert from 'node:assert/strict'
import * as zlib from 'node:zlib'
import { lz4WithPrefix, messagePack } from './libraries.ts'
import {
  deriveKeys,
  hash,
  hex,
  imageDigest,
  type Keys,
  keyedHash,
  openSealed,
  same,
  slices,
  u32,
} from './primitives.ts'

/** Section 5. */
export interface Config {
  readonly version: number
  readonly id: Uint8Array
  readonly crypto: string
  readonly secret: Uint8Array
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
  }[]
  readonly stats: Readonly<Record<string, number>>
}

/** Section 8, a directory entry, and where it was found. */
interface Place {
  readonly pack: string
  readonly id: string
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
  readonly #objects: ReadonlyMap<string, Uint8Array>
  readonly #places = new Map<string, Place>()

  constructor(objects: ReadonlyMap<string, Uint8Array>) {
    this.#objects = objects
    for (const name of objects.keys()) assert.match(name, OBJECT_NAME)
    this.config = messagePack.unpack(openSealed('config', 1, this.#object('config'))) as Config
    assert.equal(this.config.version, 1)
    assert.equal(this.config.crypto, 'none')
    assert.deepEqual(this.config.requiredFeatures, [])
    this.keys = deriveKeys(this.config.secret, this.config.id)
    for (const name of this.#names('sessions/')) this.#session(name)
    const inPacks = this.#names('packs/').flatMap((name) => this.#directory(name))
    const inIndex = this.#names('index/').flatMap((name) => this.#segment(name))
    const known = new Set(inPacks.map((place) => JSON.stringify(place)))
    for (const place of inIndex) {
      assert.ok(known.has(JSON.stringify(place)), 'the index says what the directories say')
      this.#places.set(place.id, place)
    }
  }

  /** Snapshots that are not forgotten, by id. */
  snapshots(): Map<string, SnapshotRecord> {
    const forgotten = new Set(this.#names('forget/').map((name) => this.#tombstone(name)))
    const records = new Map<string, SnapshotRecord>()
    for (const name of this.#names('snapshots/')) {
      const id = name.slice('snapshots/'.length)
      if (forgotten.has(id)) continue
      const record = messagePack.unpack(openSealed(name, 4, this.#object(name))) as SnapshotRecord
      assert.equal(record.version, 1)
      assert.deepEqual(record.requiredFeatures, [])
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
    const { kinds, spans, ids } = this.#parse(this.#blob(id, 1), level, covers)
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
    assert.equal(bytes.length, idsAt + 32 * storedCount)
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
    return { kinds, spans, ids: slices(bytes.subarray(idsAt), 32) }
  }

  /** Plaintext of a blob, by the index. */
  #blob(id: Uint8Array, type: 0 | 1): Buffer {
    const place = this.#places.get(hex(id))
    assert.ok(place !== undefined, `the index has ${hex(id)}`)
    assert.equal(place.type, type)
    const pack = Buffer.from(this.#object(place.pack))
    const stored = pack.subarray(place.offset, place.offset + place.storedBytes)
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
    assert.equal(file[9], 0)
    const trailer = file.subarray(-64)
    assert.equal(trailer.toString('latin1', 56), 'PLTRPEND')
    const at = trailer.readUInt32LE(0)
    const count = trailer.readUInt32LE(8)
    assert.equal(trailer.readUInt32LE(4), 48 * count)
    assert.equal(at + 48 * count + 64, file.length)
    const directory = file.subarray(at, at + 48 * count)
    const sum = hash(file.subarray(0, 64), directory, trailer.subarray(0, 24))
    assert.ok(same(sum, trailer.subarray(24, 56)))
    return slices(directory, 48).map((entry) => {
      const place = placeOf(name, hex(entry.subarray(0, 32)), Buffer.from(entry.subarray(32)))
      assert.ok(place.offset >= 64 && place.offset + place.storedBytes <= at)
      this.codecs.add(place.codec)
      return place
    })
  }

  /** Section 10. */
  #segment(name: string): Place[] {
    const payload = openSealed(name, 3, this.#object(name))
    const entryCount = payload.readUInt32LE(0)
    const packCount = payload.readUInt32LE(4)
    const idsAt = 16 + 40 * packCount
    const numbersAt = idsAt + 32 * entryCount
    const placesAt = numbersAt + 4 * entryCount
    assert.equal(payload.length, placesAt + 16 * entryCount)
    const packs = slices(payload.subarray(16, idsAt), 40).map((row) => {
      const id = hex(row.subarray(0, 32))
      const pack = `packs/${id.slice(0, 2)}/${id}`
      const counts = Buffer.from(row.subarray(32))
      assert.equal(counts.readUInt32LE(0), this.#object(pack).length)
      return { pack, entryCount: counts.readUInt32LE(4) }
    })
    const ids = slices(payload.subarray(idsAt, numbersAt), 32)
    const rows = ids.map((id, i) => {
      if (i > 0) assert.ok(Buffer.compare(ids[i - 1]!, id) <= 0, 'ids ascend')
      const number = payload.readUInt32LE(numbersAt + 4 * i)
      const place = payload.subarray(placesAt + 16 * i, placesAt + 16 * (i + 1))
      return placeOf(packs[number]!.pack, hex(id), place)
    })
    for (const { pack, entryCount: expected } of packs)
      assert.equal(rows.filter((row) => row.pack === pack).length, expected)
    return rows
  }

  #session(name: string): void {
    const record = messagePack.unpack(openSealed(name, 2, this.#object(name)))
    const { time, ...rest } = record as { readonly time?: number }
    assert.ok(time === undefined || Number.isSafeInteger(time))
    assert.deepEqual(rest, { version: 1, generation: 0 })
  }

  #tombstone(name: string): string {
    assert.deepEqual(messagePack.unpack(openSealed(name, 6, this.#object(name))), { version: 1 })
    return name.slice('forget/'.length)
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
  /^(config|(sessions|index)\/[0-9a-f]{32}\/[0-9]{6}|packs\/[0-9a-f]{2}\/[0-9a-f]{64}|(snapshots|forget)\/[0-9a-f]{32})$/

/** Bytes 32 to 47 of a directory entry. */
function placeOf(pack: string, id: string, bytes: Buffer): Place {
  assert.equal(bytes.readUInt16LE(14), 0)
  const place = {
    pack,
    id,
    offset: bytes.readUInt32LE(0),
    storedBytes: bytes.readUInt32LE(4),
    rawBytes: bytes.readUInt32LE(8),
    codec: bytes.readUInt8(12),
    type: bytes.readUInt8(13),
  }
  assert.ok(place.codec <= 2 && place.type <= 1 && place.storedBytes >= 1 && place.rawBytes >= 1)
  if (place.codec === 0) assert.equal(place.storedBytes, place.rawBytes)
  return place
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
