import { createHmac, hkdfSync } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { hkdf } from '@noble/hashes/hkdf.js'
import { sha256 } from '@noble/hashes/sha2.js'
import {
  assertCanCompress,
  CODEC,
  type CodecName,
  type CodecNumber,
  chunkIdFrom,
  compress,
  createHasher,
  decodeRecord,
  decompress,
  defaultCodec,
  defaultHashImplementation,
  deriveKey,
  type ErrorCode,
  encodeRecord,
  fromTransported,
  idBytes,
  isCodecNumber,
  type KeyPurpose,
  MAX_RECORD_DEPTH,
  newRepositoryId,
  newSessionId,
  nodeIdFrom,
  openRecord,
  PlatterError,
  packIdFrom,
  parsePackId,
  parseRepositoryId,
  parseSessionId,
  RECORD_OVERHEAD_BYTES,
  RECORD_TYPE,
  RecordReader,
  type RecordValue,
  sealRecord,
  type TransportedError,
  toTransported,
} from '@platter/core'
import * as fc from 'fast-check'
import { test } from 'tap'

const MIB = 1024 * 1024

/** The error `work` throws; throws itself unless it is a `PlatterError` of that code. */
function thrownBy(work: () => unknown, code: ErrorCode): PlatterError {
  let value: unknown
  try {
    value = work()
  } catch (error) {
    if (PlatterError.is(error, code)) return error
    throw new Error(`expected ${code}, got ${String(error)}`, { cause: error })
  }
  throw new Error(`expected ${code}, but it returned ${String(value)}`)
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** Bytes that do not compress. */
function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) | 1
  for (let i = 0; i < length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state >>> 11
  }
  return bytes
}

/** Text that compresses well: the plaintext of the golden frames below, so it must never change. */
function words(length: number): Uint8Array {
  const text = Buffer.alloc(length)
  let state = 1
  for (let at = 0; at < length; ) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    at += text.write(`block ${(state >>> 24) % 20} of ${(state >>> 20) % 7}\n`, at, 'latin1')
  }
  return new Uint8Array(text)
}

test('ids are exactly so many lower-case hex digits', async (t) => {
  const digits = '0123456789abcdef'.repeat(4)
  t.equal(parsePackId(digits), digits)
  t.equal(parseSessionId(digits.slice(32)), digits.slice(32))
  t.equal(parseRepositoryId(digits.slice(32)), digits.slice(32))
  const wrong = (length: number): string[] => [
    '',
    digits.slice(0, length - 1),
    `${digits.slice(0, length)}0`,
    digits.slice(0, length).toUpperCase(),
    `${digits.slice(0, length - 1)}g`,
    `${digits.slice(0, length)}\n`,
    ` ${digits.slice(0, length - 1)}`,
    `${digits.slice(0, length - 3)}/..`,
  ]
  for (const text of wrong(64))
    t.ok(
      thrownBy(() => parsePackId(text), 'ERR_INVALID_ARGUMENT'),
      text,
    )
  for (const parse of [parseSessionId, parseRepositoryId]) {
    for (const text of wrong(32))
      t.ok(
        thrownBy(() => parse(text), 'ERR_INVALID_ARGUMENT'),
        text,
      )
  }
})

test('ids are made of bytes of the right length, and give them back', async (t) => {
  // The bytes stand in the middle of other memory, as they do in a pack's directory.
  const memory = noise(96, 5)
  const bytes = memory.subarray(32, 64)
  for (const from of [chunkIdFrom, nodeIdFrom, packIdFrom]) {
    t.equal(from(bytes), hex(bytes))
    t.same(idBytes(from(bytes)), bytes.slice())
    for (const length of [0, 31, 33])
      t.ok(thrownBy(() => from(memory.subarray(0, length)), 'ERR_INVALID_ARGUMENT'))
  }
  const asked: number[] = []
  const random = (length: number): Uint8Array => {
    asked.push(length)
    return memory.slice(0, length)
  }
  t.equal(newSessionId(random), hex(memory.subarray(0, 16)))
  t.equal(newRepositoryId(random), hex(memory.subarray(0, 16)))
  t.same(asked, [16, 16])
  t.ok(
    thrownBy(() => newSessionId(() => new Uint8Array(15)), 'ERR_INVALID_ARGUMENT'),
    'a source that gives too little',
  )
  const made = new Set(Array.from({ length: 100 }, () => newSessionId()))
  t.equal(made.size, 100)
  for (const id of made) t.equal(parseSessionId(id), id)
})

// From test_vectors.json of the BLAKE3 team: input length, hash, keyed_hash; 32 of 131 bytes each.
const BLAKE3_VECTORS = [
  [
    0,
    'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    '92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26',
  ],
  [
    1,
    '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213',
    '6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b',
  ],
  [
    1023,
    '10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11',
    'c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e',
  ],
  [
    1024,
    '42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7',
    '75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4',
  ],
  [
    1025,
    'd00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444',
    '357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69',
  ],
  [
    2049,
    '5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b687952256303',
    '9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5',
  ],
  [
    4097,
    '9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995',
    '00df940cd36bb9fa7cbbc3556744e0dbc8191401afe70520ba292ee3ca80abbc',
  ],
] as const

test('BLAKE3 hashes as its authors say', async (t) => {
  t.equal(defaultHashImplementation, 'native', 'the native module was built for this platform')
  const key = new TextEncoder().encode('whats the Elvish word for friend')
  for (const implementation of ['native', 'portable'] as const) {
    const plain = createHasher(undefined, implementation)
    const keyed = createHasher(key, implementation)
    for (const [length, hash, keyedHash] of BLAKE3_VECTORS) {
      const input = Uint8Array.from({ length }, (_, i) => i % 251)
      t.equal(hex(plain.hash(input)).slice(0, hash.length), hash, `${implementation}, ${length} bytes`)
      t.equal(hex(keyed.hash(input)), keyedHash, `${implementation}, keyed, ${length} bytes`)
    }
    for (const length of [0, 16, 31, 33])
      t.throws(() => createHasher(new Uint8Array(length), implementation), RangeError)
  }
})

test('the native and the portable BLAKE3 agree, whole or in parts', async (t) => {
  const key = noise(32, 7)
  const pairs = [undefined, key].map((k) => [createHasher(k, 'native'), createHasher(k, 'portable')] as const)
  // A hasher must not depend on the caller's memory.
  key.fill(0)
  const check = (input: Uint8Array, cuts: readonly number[]): void => {
    const places = [0, ...cuts.map((cut) => Math.min(cut, input.length)).sort((a, b) => a - b), input.length]
    const parts = places.slice(1).map((end, i) => input.subarray(places[i]!, end))
    for (const [native, portable] of pairs) {
      const hash = native.hash(input)
      const others = [portable.hash(input), native.hashParts(parts), portable.hashParts(parts)]
      if (hash.length !== 32 || !others.every((other) => sameBytes(hash, other)))
        throw new Error(`hashes of ${input.length} bytes differ`)
    }
  }
  for (const length of [3 * MIB, 3 * MIB - 1, MIB + 1025]) check(noise(length, length), [1, 1024, MIB, MIB])
  fc.assert(
    fc.property(fc.nat(70_000), fc.nat(3), fc.array(fc.nat(70_000), { maxLength: 4 }), (length, at, cuts) => {
      check(noise(length + at, length).subarray(at), cuts)
    }),
    { numRuns: 60 },
  )
  t.pass()
})

test('a hash is memory of its own', async (t) => {
  for (const implementation of ['native', 'portable'] as const) {
    const hasher = createHasher(undefined, implementation)
    const first = hasher.hash(words(10))
    const before = hex(first)
    hasher.hash(words(11))
    hasher.hashParts([words(12)])
    t.equal(hex(first), before)
  }
})

test('deriveKey is HKDF-SHA256', async (t) => {
  // RFC 5869 in six lines, checked against its first test case.
  const rfc5869 = (secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Buffer => {
    const prk = createHmac('sha256', salt).update(secret).digest()
    let block = Buffer.alloc(0)
    let output = Buffer.alloc(0)
    for (let i = 1; output.length < length; i++) {
      block = createHmac('sha256', prk).update(block).update(info).update(Uint8Array.of(i)).digest()
      output = Buffer.concat([output, block])
    }
    return output.subarray(0, length)
  }
  const case1 = rfc5869(
    new Uint8Array(22).fill(0x0b),
    Buffer.from('000102030405060708090a0b0c', 'hex'),
    Buffer.from('f0f1f2f3f4f5f6f7f8f9', 'hex'),
    42,
  )
  const expected1 = '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865'
  t.equal(hex(case1), expected1)

  const purposes: KeyPurpose[] = [
    'platter v1 chunk id',
    'platter v1 node id',
    'platter v1 block digest',
    'platter v1 cut tag',
    'platter v1 gear table',
    'platter v1 image digest',
  ]
  const [master, id] = [noise(32, 1), noise(16, 2)]
  const keys = purposes.map((purpose) => {
    const info = new TextEncoder().encode(purpose)
    const key = deriveKey(master, id, purpose)
    t.equal(hex(key), hex(rfc5869(master, id, info, 32)), purpose)
    t.equal(hex(key), hex(hkdf(sha256, master, id, info, 32)), purpose)
    t.equal(hex(key), hex(new Uint8Array(hkdfSync('sha256', master, id, info, 32))), purpose)
    return hex(key)
  })
  t.equal(new Set(keys).size, purposes.length, 'no two purposes share a key')
  const fixed = deriveKey(new Uint8Array(32).fill(1), new Uint8Array(16).fill(2), 'platter v1 chunk id')
  t.equal(hex(fixed), '0e17c022a90b44d555ca56aa5830068d49cca25a3b7863b76ef93a6b29a924b6', 'frozen')
})

const CAN_ZSTD = defaultCodec() === 'zstd'
const codecs: CodecName[] = ['none', 'lz4', ...(CAN_ZSTD ? (['zstd'] as const) : [])]

/** Data with stretches that compress and stretches that do not. */
const data = fc
  .array(fc.tuple(fc.constantFrom('noise', 'words', 'zeros'), fc.nat(1 << 30), fc.nat(20_000)), {
    maxLength: 4,
  })
  .map((stretches) =>
    join(
      stretches.map(([kind, seed, length]) => {
        if (kind === 'noise') return noise(length, seed)
        return kind === 'words' ? words(length) : new Uint8Array(length)
      }),
    ),
  )

test('what compress makes, decompress undoes', async (t) => {
  /** Decompressed where it lies between other bytes, all of which are as before. */
  const checkInPlace = (codec: CodecNumber, stored: Uint8Array, input: Uint8Array): void => {
    for (const at of [0, 3, 4, 100]) {
      const around = new Uint8Array(new SharedArrayBuffer(at + stored.length + 10)).fill(0x5a)
      around.set(stored, at)
      const before = around.slice()
      const raw = decompress(codec, around.subarray(at, at + stored.length), input.length, true)
      if (!sameBytes(raw, input)) throw new Error(`${codec} lost it at ${at}`)
      if (!sameBytes(around, before)) throw new Error(`${codec} changed what lies around it at ${at}`)
    }
  }
  const check = (input: Uint8Array): void => {
    const before = hex(input.subarray(0, 5000))
    for (const codec of codecs) {
      const stored = compress(codec, input)
      if (stored === undefined) continue
      const saved = input.length - stored.length
      if (saved < Math.floor(input.length / 32)) throw new Error(`${codec} saved ${saved} of ${input.length}`)
      if (stored.buffer === input.buffer) throw new Error('the result is not memory of its own')
      if (!sameBytes(decompress(CODEC[codec], stored, input.length), input))
        throw new Error(`${codec} lost it`)
      checkInPlace(CODEC[codec], stored, input)
    }
    if (hex(input.subarray(0, 5000)) !== before) throw new Error('the input was changed')
  }
  fc.assert(
    fc.property(data, (input) => check(input)),
    { numRuns: 150 },
  )
  for (const length of [0, 1, 63, 64, 65, 255, 256, 257, 65_791, 65_792, 16 * MIB - 1]) {
    check(words(length))
    check(new Uint8Array(length))
  }
  for (const codec of codecs.slice(1)) {
    t.ok(compress(codec, words(64)), `${codec} compresses 64 bytes`)
    t.equal(compress(codec, words(63)), undefined, 'less is not worth it')
  }
  t.equal(compress('none', words(100_000)), undefined)
})

test('what does not compress is stored as it is', async (t) => {
  for (const codec of codecs.slice(1)) {
    for (const length of [64, 1000, 65_536, MIB]) t.equal(compress(codec, noise(length, length)), undefined)
    // 1/32 of 64 KiB is 2 KiB; zeros for a tail of that length save about as much.
    const barely = (zeros: number): Uint8Array => join([noise(65_536 - zeros, 3), new Uint8Array(zeros)])
    t.equal(compress(codec, barely(1800)), undefined, `${codec}: less than 1/32 is saved`)
    t.ok(compress(codec, barely(2800)), `${codec}: more than 1/32 is saved`)
  }
})

test('codec numbers, and codecs this runtime lacks', async (t) => {
  t.same(CODEC, { none: 0, lz4: 1, zstd: 2 })
  t.same(
    [-1, 0, 1, 2, 3, 0.5, Number.NaN].map((n) => isCodecNumber(n)),
    [false, true, true, true, false, false, false],
  )
  if (CAN_ZSTD) assertCanCompress('zstd')
  else thrownBy(() => assertCanCompress('zstd'), 'ERR_UNSUPPORTED_FEATURE')
  assertCanCompress('lz4')
  assertCanCompress('none')
})

// Frames made by the command line program zstd 1.5.4, so by another implementation than any Platter runs on.
const GOLDEN_FRAMES = [
  {
    what: 'level 1, size in two bytes, no checksum: what Platter writes',
    plain: words(3000),
    frame:
      'KLUv/WC4CiUSANKOHhGwJ2MAiCImOW3qzMycdUm6EsNAKA4DACuumR9JwDk051TQ6gp8vGKCzyWa1a5sJzq9b1J28m82Iru2HtM/hJdf' +
      '0r74z1RO3vV/qXdp3uv9Zlet/6T4tqazujouCRDUmodOK8snJWcUihGQL/goFCMCbBSK4WEgFIdBgYao8fE2dgMhBk85tA0RIFyHZmTN' +
      'AXnrontfBcd/vusaf1Medr5CJQye5jns9U9yeWWtruVC0MbmkNn/r3geeTUh2GHZ4F7RTWlinMq1Upvzeyk5RLGt1j4V/YmpcEHKfYNC' +
      '2k1ZAOlBX108MC15if32x0+lPGm0mNlv+A3rYotn/MLe+rTBx9i+P7OXR6WCWAkpKrnxJTDjwCy6ny+Qz8efD2vGU3n4lTQKriHaHhoj' +
      'p05dP/XuZR7a9Hr0MHANlctsR1eNeTR+DXMWIeHxbM0tCuE6O6b+2Qj9mWKGm7/8IQNYI5Cr+WIMz97u9hY411fl3f5negNnkoJwNoXB' +
      '5/hCnaWpB79jKvxhx1i/vdruwzhu/SYD8TCpc+FQmf7ym8fZ+wVGe2lo3aWm7aMiXb9wNA/DpA0bvv5GjeyCu33+r+AYDFh7iA0SEI2j' +
      'NtQB+1jZ1rxohP4ars0GZXqnYlFguT0cbAQkIj1iFgm9vxKtBci+v4cT/VxZH5aNfdQ4bfw193WHkr3uIVFxzEm0yFVhJWhNbcPEbZlI' +
      'QQrGnNbEG1rGLo1eyoHHRKE/ccrMchz5tdhKH8h1uGQQhG80/w4FW4VErAI=',
  },
  {
    what: 'level 19 with a checksum',
    plain: words(3000),
    frame:
      'KLUv/WS4Ct0NAGKMGhKgKR0Ae7eqNvuJlHLv3H61WgFFPywTiMUapx71qcO3aWeVGq7CC/XMasRyWtsw/F51+8NMS+NcpRbuz9iFf9hQ' +
      '6GY9onfnN5Zl6FKbr8QKw0L5lk2V2Vo+reJzygw63BmgwEgCBkeRIESAuKgw+PoZQEZUqKrqARLgECAUgtmwgkkFkItGWwfLE3oDDfmC' +
      'BWlyV5uMV7RDxCGmqLjkQxlAC4HnzIBU/RiUi1hdm0y0b3KXY4Ac0s6oELHMkF32aov6aP7GzCPhI1oDrvZKhu0tAW2xbN/N4N3nypYe' +
      'pPcRvhbtYbUbfliVgDChHM7OPD2ycFcEkrOgOVwDZowcKB3L/fPiGdFSjbHrhQsE4pT6+7Pa929a7VV3uIZ97ECmI4fQjsvi5NQ72eAz' +
      'NNixSxbfO8QFkas884Nedn8QriKypobrEebXbRAZ3MKptqwdf5Jm2W4gSbTDvEAaBzwhujjKQJheYmO2STCYiBlbRSCqBHgmOA+Ikjj0' +
      'nd1fTHN3aZqo2ZqH7n2O7lofLgTzdG6QveffdIa+pxIljsu478VkniV+Rbtq5JLtSFkg2O5tvNiRY8wN8pkCqSNV3A==',
  },
  {
    what: 'zeros: a block of one repeated byte',
    plain: new Uint8Array(70_000),
    frame: 'KLUv/aBwEQEAVQAAEAAAAQBrETnAAg==',
  },
  {
    what: 'several blocks with a window, and a checksum',
    plain: new Uint8Array(Buffer.alloc(300_000, words(1000))),
    frame:
      'KLUv/aTgkwQA7AYAIocSE8AlHQAAGsF/KXtLmaRMHKjBYQG0sLLxUut2TWVmSzVYd3+l3au3yHSj4Am6moqms2L1PT+I6t44pMz1Zh42' +
      'pAwbeEiZD2AoASFzqIC4jd1QI4l1EoBUJOATEqueyrL//3f0++u30o60COJevX1KDROMKhwDezoeR3Gf2vpLwxGSCCakZpOwRhiyTCKh' +
      '7yFigjHIHg88RHQ//I96s2cxJsgD7mj2Tg04DD8vHbQ0LSyCQHfsoYIIfS5G4e6EAw34MDFOAeyH0T/8J9RSc9iE490PPi+MhYQLSwFM' +
      'AAAIawEA/P85EAJNAAAIMAEA3BMdCAFNCOnA',
  },
] as const

test('zstd frames of another program are read, also where the runtime has no zstd', async (t) => {
  for (const { what, plain, frame } of GOLDEN_FRAMES) {
    const stored = new Uint8Array(Buffer.from(frame, 'base64'))
    t.ok(sameBytes(decompress(CODEC.zstd, stored, plain.length), plain), what)
    for (const length of [0, 1, plain.length - 1, plain.length + 1, plain.length + 256, 16 * MIB - 1])
      thrownBy(() => decompress(CODEC.zstd, stored, length), 'ERR_CORRUPT_BLOB')
  }
  if (CAN_ZSTD) {
    const [golden] = GOLDEN_FRAMES
    t.equal(Buffer.from(compress('zstd', golden.plain)!).toString('base64'), golden.frame)
  }
})

/** Decodes damaged bytes: an ERR_CORRUPT_BLOB, or `rawLength` bytes that are the chunk id's to judge. */
function decodesGuarded(codec: CodecNumber, stored: Uint8Array, rawLength: number): Uint8Array | undefined {
  try {
    const raw = decompress(codec, stored, rawLength)
    if (raw.length !== rawLength) throw new Error(`${raw.length} bytes instead of ${rawLength}`)
    return raw
  } catch (error) {
    if (PlatterError.is(error, 'ERR_CORRUPT_BLOB')) return undefined
    throw error
  }
}

const SAMPLES: readonly (readonly [CodecNumber, Uint8Array, Uint8Array])[] = [
  [CODEC.lz4, compress('lz4', words(3000))!, words(3000)],
  [CODEC.lz4, compress('lz4', new Uint8Array(5000))!, new Uint8Array(5000)],
  ...GOLDEN_FRAMES.map(
    ({ plain, frame }) => [CODEC.zstd, new Uint8Array(Buffer.from(frame, 'base64')), plain] as const,
  ),
]

test('a decoder refuses what is cut short, and other lengths than declared', async (t) => {
  for (const [codec, stored, plain] of SAMPLES) {
    for (let length = 0; length < stored.length; length++) {
      const raw = decodesGuarded(codec, stored.subarray(0, length), plain.length)
      if (raw !== undefined) throw new Error(`${length} of ${stored.length} bytes decode with codec ${codec}`)
    }
    for (const length of [0, 1, plain.length - 1, plain.length + 1, 16 * MIB, 2 ** 32 - 1, 2 ** 32, 2 ** 52])
      if (decodesGuarded(codec, stored, length)) throw new Error(`${plain.length} bytes pass for ${length}`)
    decodesGuarded(codec, join([stored, stored]), plain.length)
    decodesGuarded(codec, join([stored, noise(30, 1)]), plain.length)
  }
  thrownBy(() => decompress(CODEC.none, words(10), 11), 'ERR_CORRUPT_BLOB')
  thrownBy(() => decompress(CODEC.none, words(10), 9), 'ERR_CORRUPT_BLOB')
  t.pass()
})

test('a decoder survives whatever it is given', async (t) => {
  const codec = fc.constantFrom<CodecNumber>(CODEC.lz4, CODEC.zstd)
  const bytes = fc.tuple(fc.nat(200), fc.nat()).map(([length, seed]) => noise(length, seed))
  fc.assert(
    fc.property(codec, bytes, fc.nat(100_000), (c, stored, length) => {
      decodesGuarded(c, stored, length)
    }),
    { numRuns: 1000 },
  )
  // What starts like a frame gets further.
  const header = fc.tuple(fc.constantFrom(0x20, 0x60, 0xa0, 0xe0, 0x40, 0x80, 0xc0), fc.nat(0xffff))
  fc.assert(
    fc.property(header, bytes, ([descriptor, size], rest) => {
      const start = Buffer.from('28b52ffd000000000000000000000000', 'hex')
      start[4] = descriptor
      const single = (descriptor & 0x20) !== 0
      const sizeAt = single ? 5 : 6
      const flag = descriptor >>> 6
      const sizeBytes = flag === 0 ? (single ? 1 : 0) : 1 << flag
      const declared = flag === 0 ? size & 0xff : flag === 1 ? size + 256 : size
      start.writeUInt16LE(size, sizeAt)
      if (flag === 0) start[sizeAt] = size & 0xff
      decodesGuarded(CODEC.zstd, join([start.subarray(0, sizeAt + sizeBytes), rest]), declared)
    }),
    { numRuns: 1000 },
  )
  const at = fc.nat()
  fc.assert(
    fc.property(fc.constantFrom(...SAMPLES), at, fc.integer({ min: 1, max: 255 }), (sample, place, mask) => {
      const [c, stored, plain] = sample
      const altered = stored.slice()
      altered[place % stored.length]! ^= mask
      decodesGuarded(c, altered, plain.length)
    }),
    { numRuns: 1000 },
  )
  t.pass()
})

test('a few bytes that claim gigabytes cost nothing', async (t) => {
  const GIB4 = 2 ** 32 - 1
  const LONGEST = 16 * MIB - 1
  const claims: [CodecNumber, string, number][] = [
    [CODEC.lz4, 'ffffffffffffff', GIB4],
    [CODEC.lz4, 'ffffffff0f0000', GIB4],
    [CODEC.lz4, 'ffffffffffffff', 7 * 255],
    // A block that is far longer than its plaintext, which would be copied as a whole.
    [CODEC.lz4, `14616161616101005061616161${'61'.repeat(1000)}`, 10],
    // Frames that declare 4 GiB; that have a window of 2 GiB; whose blocks repeat a byte for far too long; that are
    // followed by a frame of 4 GiB.
    [CODEC.zstd, '28b52ffda0ffffffff020010aa', LONGEST],
    [CODEC.zstd, '28b52ffda0ffffffff020010aa', 100],
    [CODEC.zstd, '28b52ffdc0a86400000000000000020010aa', 100],
    [CODEC.zstd, '28b52ffd80a864000000faffff', 100],
    [CODEC.zstd, `28b52ffd2064${'faffffaa'.repeat(50)}fbffffaa`, 100],
    [CODEC.zstd, '28b52ffd2064230300aa28b52ffda0ffffffff020010aa', 100],
  ]
  const before = process.memoryUsage.rss()
  for (const [codec, stored, length] of claims) {
    for (let i = 0; i < 20; i++) {
      const raw = decodesGuarded(codec, new Uint8Array(Buffer.from(stored, 'hex')), length)
      if (raw !== undefined && length > 7 * 255) throw new Error(`${stored} became ${length} bytes`)
    }
  }
  const grown = process.memoryUsage.rss() - before
  t.ok(grown < 100 * MIB, `in little memory (${Math.round(grown / MIB)} MiB)`)
})

test('the time a frame takes grows with its length, not with its square', async (t) => {
  // Blocks of 128 KiB that repeat one byte: next to no work, and the output is as long as a blob can be.
  const fastest = (blocks: number): number => {
    const repeats = Array.from({ length: blocks }, (_, i) => (i < blocks - 1 ? '020010aa' : 'fbff0faa'))
    const length = (blocks * MIB) / 8 - 1
    const size = Buffer.alloc(4)
    size.writeUInt32LE(length)
    const frame = new Uint8Array(Buffer.from(`28b52ffda0${size.toString('hex')}${repeats.join('')}`, 'hex'))
    const times = Array.from({ length: 5 }, () => {
      const started = process.cpuUsage()
      const raw = decompress(CODEC.zstd, frame, length)
      const { user, system } = process.cpuUsage(started)
      if (!sameBytes(raw, new Uint8Array(length).fill(0xaa))) t.fail('it decodes to something else')
      return user + system
    })
    return Math.min(...times)
  }
  fastest(8)
  const ratio = fastest(128) / Math.max(1000, fastest(8))
  t.ok(ratio < 100, `sixteen times the length takes ${ratio.toFixed(1)} times as long`)
})

const recordValue: fc.Arbitrary<RecordValue> = fc.letrec<{ value: RecordValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (Object.is(n, -0) ? 0 : n)),
    fc.constantFrom(
      0,
      -1,
      127,
      128,
      -32,
      -33,
      255,
      256,
      65_535,
      65_536,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 53 - 1,
    ),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.string({ minLength: 250, maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 10 }), tie('value'), { maxKeys: 20 }),
  ),
})).value

/** Plain form for comparing: typed arrays as their content, objects without prototypes. */
function plainForm(value: RecordValue): unknown {
  if (value instanceof Uint8Array) return { bytes: hex(value) }
  if (Array.isArray(value)) return value.map((item) => plainForm(item))
  if (typeof value !== 'object' || value === null) return value
  return { fields: Object.entries(value).map(([key, item]) => [key, plainForm(item)]) }
}

test('records come back as they were', async (t) => {
  fc.assert(
    fc.property(recordValue, (value) => {
      const bytes = encodeRecord(value)
      const inMemory = join([noise(5, 1), bytes, noise(5, 2)]).subarray(5, 5 + bytes.length)
      const [before, after] = [
        JSON.stringify(plainForm(value)),
        JSON.stringify(plainForm(decodeRecord(inMemory))),
      ]
      if (before !== after) throw new Error(`${before} became ${after}`)
      if (!sameBytes(encodeRecord(decodeRecord(bytes)), bytes))
        throw new Error('it encodes otherwise the second time')
    }),
    { numRuns: 400 },
  )
  const long = {
    text: 'ä'.repeat(70_000),
    bytes: noise(70_000, 1),
    list: Array.from({ length: 70_000 }, (_, i) => i),
  }
  t.equal(JSON.stringify(plainForm(decodeRecord(encodeRecord(long)))), JSON.stringify(plainForm(long)))
  const many = Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`field ${i}`, i]))
  t.same(decodeRecord(encodeRecord(many)), many)
})

/** The parts of MessagePack, by its specification, so that records no encoder of ours makes can be made. */
const pack = {
  nested: (depth: number, inner = 'c0'): string => '91'.repeat(depth) + inner,
  text: (text: string): string => (0xa0 + text.length).toString(16) + Buffer.from(text).toString('hex'),
}

test('records are read strictly', async (t) => {
  const decode = (digits: string): RecordValue => decodeRecord(new Uint8Array(Buffer.from(digits, 'hex')))
  t.equal(decode('c0'), null)
  t.same(decode(`82${pack.text('a')}01${pack.text('b')}c3`), { a: 1, b: true })
  t.same(decode('dd00000001cc07'), [7], 'a length may be longer than it needs to be')
  t.equal(decode('cf001fffffffffffff'), 2 ** 53 - 1)
  t.same(decode(pack.nested(MAX_RECORD_DEPTH)), JSON.parse(`${'['.repeat(16)}null${']'.repeat(16)}`))

  const refused: Record<string, string> = {
    nothing: '',
    'trailing bytes': 'c0c0',
    'trailing zero': '8000',
    'a type that is none': 'c1',
    'nesting one too deep': pack.nested(MAX_RECORD_DEPTH + 1),
    'nesting far too deep': pack.nested(100_000),
    'more values than a record may have': `dd00080000${'c0'.repeat(524_288)}`,
    'nesting far too deep in maps': `${`81${pack.text('a')}`.repeat(100_000)}c0`,
    'array32 of 4 billion': 'ddffffffff',
    'array32 of 4 billion with some': `ddffffffff${'c0'.repeat(1000)}`,
    'map32 of 4 billion': 'dfffffffff',
    'map32 of 2 billion with some': `df7fffffff${`${pack.text('a')}c0`.repeat(1000)}`,
    'array16 beyond the end': 'dcffff',
    'bin32 of 4 GB': 'c6ffffffff00',
    'str32 of 4 GB': 'dbffffffff61',
    'a string beyond the end': 'a261',
    'an array that lacks an item': '92c0',
    'a map that lacks a value': `81${pack.text('a')}`,
    'half an integer': 'cd01',
    'half a double': 'cb00000000',
    'fixext 1': 'd40100',
    'fixext 16': `d801${'00'.repeat(16)}`,
    'ext 8': 'c70105ff',
    'a timestamp': 'd6ff00000000',
    'a record of msgpackr': 'd47240',
    'an ext within a list': '91d40100',
    'a number as key': '810102',
    'null as key': '81c001',
    'bytes as key': '81c4016101',
    'a list as key': '819001',
    'a map as key': '818001',
  }
  for (const [what, digits] of Object.entries(refused)) {
    t.doesNotThrow(() => thrownBy(() => decode(digits), 'ERR_CORRUPT_RECORD'), what)
  }
  const record = encodeRecord({ name: 'web-01', sizes: [1, 2 ** 40], id: noise(32, 1), inner: { yes: true } })
  for (let length = 0; length < record.length; length++)
    thrownBy(() => decodeRecord(record.subarray(0, length)), 'ERR_CORRUPT_RECORD')
})

test('a record that is not one is refused or read, and nothing else happens', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        decodeRecord(bytes)
      } catch (error) {
        if (!PlatterError.is(error, 'ERR_CORRUPT_RECORD')) throw error
      }
    }),
    { numRuns: 5000 },
  )
  const bytes = encodeRecord(JSON.parse('{"__proto__":{"polluted":true},"constructor":1}'))
  const reader = RecordReader.decode(bytes, 'record')
  t.equal(({} as Record<string, unknown>).polluted, undefined)
  for (const field of ['toString', 'hasOwnProperty', '__proto__'])
    t.notOk(reader.has(field) && typeof reader.string(field) === 'string', `${field} is no field`)
})

test('RecordReader checks every field', async (t) => {
  const fields = {
    text: 'abc',
    yes: true,
    count: 7,
    share: 0.5,
    bytes: noise(4, 1),
    list: [1, 2, 3],
    names: ['a', 'b'],
    inner: { deep: 1 },
    inners: [{ deep: 1 }, { deep: 2 }],
    nothing: null,
    negative: -1,
    huge: 2 ** 60,
    notANumber: Number.NaN,
  }
  const reader = RecordReader.decode(encodeRecord(fields), 'thing')
  t.equal(reader.string('text'), 'abc')
  t.equal(reader.boolean('yes'), true)
  t.equal(reader.integer('count', 7, 7), 7)
  t.equal(reader.number('share'), 0.5)
  t.same(reader.bytes('bytes', 4), fields.bytes)
  t.same(reader.list('list', 3), [1, 2, 3])
  t.same(reader.strings('names', 2), ['a', 'b'])
  t.equal(reader.record('inner').integer('deep'), 1)
  t.same(
    reader.records('inners', 2).map((inner) => inner.integer('deep')),
    [1, 2],
  )
  t.equal(reader.isNull('nothing'), true)
  t.equal(reader.isNull('text'), false)
  t.same([reader.has('text'), reader.has('absent'), reader.has('toString')], [true, false, false])

  const wrong: (() => unknown)[] = [
    () => reader.string('count'),
    () => reader.string('text', 2),
    () => reader.string('absent'),
    () => reader.string('toString'),
    () => reader.boolean('count'),
    () => reader.integer('text'),
    () => reader.integer('share'),
    () => reader.integer('negative'),
    () => reader.integer('huge'),
    () => reader.integer('notANumber'),
    () => reader.integer('count', 8),
    () => reader.integer('count', 0, 6),
    () => reader.number('negative'),
    () => reader.number('notANumber'),
    () => reader.number('text'),
    () => reader.bytes('bytes', 3),
    () => reader.bytes('bytes', 5),
    () => reader.bytes('text', 3),
    () => reader.list('list', 2),
    () => reader.list('inner', 9),
    () => reader.list('bytes', 9),
    () => reader.strings('list', 9),
    () => reader.record('list'),
    () => reader.record('nothing'),
    () => reader.record('bytes'),
    () => reader.records('list', 9),
    () => reader.records('inners', 1),
    () => reader.isNull('absent'),
    () => RecordReader.decode(encodeRecord([1]), 'thing'),
    () => RecordReader.decode(encodeRecord(null), 'thing'),
    () => RecordReader.decode(encodeRecord('text'), 'thing'),
    () => RecordReader.decode(encodeRecord(noise(3, 1)), 'thing'),
  ]
  for (const work of wrong) t.match(thrownBy(work, 'ERR_CORRUPT_RECORD').message, /^The thing/, String(work))
})

test('a sealed record opens under its name and type, and nothing altered does', async (t) => {
  const name = 'snapshots/00112233445566778899aabbccddeeff'
  const payload = encodeRecord({ version: 1, name: 'web-01/sda' })
  const sealed = join(sealRecord(RECORD_TYPE.snapshot, name, payload))
  t.equal(sealed.length, payload.length + RECORD_OVERHEAD_BYTES)
  t.ok(sameBytes(openRecord(RECORD_TYPE.snapshot, name, sealed), payload))
  const open = (bytes: Uint8Array): unknown => openRecord(RECORD_TYPE.snapshot, name, bytes)

  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const altered = sealed.slice()
    altered[bit >>> 3]! ^= 1 << (bit & 7)
    const { object } = thrownBy(() => open(altered), 'ERR_CORRUPT_RECORD').details
    if (object !== name) throw new Error(`bit ${bit}: the error names ${object}`)
  }
  for (let length = 0; length < sealed.length; length++)
    thrownBy(() => open(sealed.slice(0, length)), 'ERR_CORRUPT_RECORD')
  for (const more of [1, 48]) thrownBy(() => open(join([sealed, noise(more, 1)])), 'ERR_CORRUPT_RECORD')
  for (const other of [name.slice(0, -1), `${name}0`, name.replace('snapshots', 'snapshotz'), '', 'config'])
    thrownBy(() => openRecord(RECORD_TYPE.snapshot, other, sealed), 'ERR_CORRUPT_RECORD')
  for (const [kind, type] of Object.entries(RECORD_TYPE)) {
    if (type === RECORD_TYPE.snapshot) continue
    thrownBy(() => openRecord(type, name, sealed), 'ERR_CORRUPT_RECORD')
    t.ok(sameBytes(openRecord(type, name, join(sealRecord(type, name, payload))), payload), kind)
  }
  t.equal(
    openRecord(
      RECORD_TYPE.config,
      'config',
      join(sealRecord(RECORD_TYPE.config, 'config', new Uint8Array(0))),
    ).length,
    0,
  )
})

test('a name and a header cannot be shifted into one another', async (t) => {
  // The same bytes hashed, split otherwise between name and record.
  const sealed = sealRecord(RECORD_TYPE.index, 'index/a', words(40))
  const shifted = join(sealRecord(RECORD_TYPE.index, 'index/aPLTR', words(40)))
  thrownBy(() => openRecord(RECORD_TYPE.index, 'index/a', shifted), 'ERR_CORRUPT_RECORD')
  thrownBy(() => openRecord(RECORD_TYPE.index, 'index/aPLTR', join(sealed)), 'ERR_CORRUPT_RECORD')
  t.ok(openRecord(RECORD_TYPE.index, 'index/a', join(sealed)))
})

test('a record of a later version is told from a damaged one', async (t) => {
  const hasher = createHasher()
  const name = 'config'
  const [header, payload] = sealRecord(RECORD_TYPE.config, name, words(20))
  const resealed = (at: number, value: number): Uint8Array => {
    const altered = header!.slice()
    altered[at] = value
    const sum = hasher.hashParts([Uint8Array.of(name.length), Buffer.from(name), altered, payload!])
    return join([altered, payload!, sum])
  }
  const open = (bytes: Uint8Array): unknown => openRecord(RECORD_TYPE.config, name, bytes)
  t.ok(open(resealed(4, 1)), 'the seal is made as the format says')
  t.equal(thrownBy(() => open(resealed(4, 2)), 'ERR_UNSUPPORTED_VERSION').details.actual, 2)
  thrownBy(() => open(resealed(6, 1)), 'ERR_UNSUPPORTED_VERSION')
  thrownBy(() => open(resealed(8, 21)), 'ERR_CORRUPT_RECORD')
  thrownBy(() => open(resealed(5, 4)), 'ERR_CORRUPT_RECORD')
})

test('errors cross a thread border whole', async (t) => {
  const worker = new Worker(new URL('./throwing-worker.js', import.meta.url))
  const ask = (what: string): Promise<Error> =>
    new Promise((resolve, reject) => {
      worker.once('message', (plain: TransportedError) => resolve(fromTransported(plain)))
      worker.once('error', reject)
      worker.postMessage(what)
    })
  try {
    const error = await ask('platter')
    t.ok(PlatterError.is(error, 'ERR_SOURCE_READ'))
    t.notOk(PlatterError.is(error, 'ERR_SOURCE_CHANGED'))
    t.equal(error.message, 'The source cannot be read.')
    t.equal(error.name, 'PlatterError')
    t.same((error as PlatterError).details, {
      path: '/dev/sdz',
      offset: 2 ** 52 + 1,
      length: 4096,
      expected: 'data',
      actual: 7,
      systemCode: 'EIO',
      candidates: ['a', 'b'],
    })
    const bug = await ask('error')
    t.ok(PlatterError.is(bug, 'ERR_INTERNAL'))
    t.match(bug.message, /undefined is not a function/)
    t.match(String(bug.cause), /throwing-worker/, 'where it happened is kept')
    t.match((await ask('text')).message, /only a text/)
    t.ok(PlatterError.is(await ask('nothing'), 'ERR_INTERNAL'))
  } finally {
    await worker.terminate()
  }
  const cause = new Error('why')
  t.equal(new PlatterError('ERR_NOT_FOUND', 'Gone.', { cause }).cause, cause)
  t.notOk('cause' in new PlatterError('ERR_NOT_FOUND', 'Gone.'), 'no cause, no field')
  t.equal(PlatterError.is({ code: 'ERR_NOT_FOUND' }), false)
  t.equal(structuredClone(toTransported(new PlatterError('ERR_NOT_FOUND', 'Gone.'))).code, 'ERR_NOT_FOUND')
})
