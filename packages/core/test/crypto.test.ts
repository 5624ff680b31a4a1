// The primitives against vectors of others, and encrypted records against a store that lies.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import {
  deriveKey,
  encryptedRecords,
  type KeyPurpose,
  openAesGcm,
  openRecord,
  PlatterError,
  plainRecords,
  RECORD_TYPE,
  type RecordSealer,
  type RecordType,
  sealAesGcm,
  sealAesGcmInto,
} from '@platter/core'
import { test } from 'tap'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
const noise = (seed: string, length: number): Uint8Array =>
  new Uint8Array(createHash('shake256', { outputLength: length }).update(seed).digest())

function codeOf(call: () => unknown): string {
  try {
    call()
    return 'success'
  } catch (error) {
    return error instanceof PlatterError ? error.code : `untyped: ${String(error)}`
  }
}

/** AES-256-GCM: test cases 13 to 16 of McGrew and Viega's specification, then two of Wycheproof. */
const AES_GCM = [
  {
    key: '00'.repeat(32),
    nonce: '00'.repeat(12),
    data: '',
    plain: '',
    sealed: '530f8afbc74536b9a963b4f1c4cb738b',
  },
  {
    key: '00'.repeat(32),
    nonce: '00'.repeat(12),
    data: '',
    plain: '00'.repeat(16),
    sealed: 'cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919',
  },
  {
    key: 'feffe9928665731c6d6a8f9467308308'.repeat(2),
    nonce: 'cafebabefacedbaddecaf888',
    data: '',
    plain:
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255',
    sealed:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015adb094dac5d93471bdec1a502270e3cc6c',
  },
  {
    key: 'feffe9928665731c6d6a8f9467308308'.repeat(2),
    nonce: 'cafebabefacedbaddecaf888',
    data: 'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    plain:
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    sealed:
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b',
  },
  {
    key: '92ace3e348cd821092cd921aa3546374299ab46209691bc28b8752d17f123c20',
    nonce: '00112233445566778899aabb',
    data: '00000000ffffffff',
    plain: '00010203040506070809',
    sealed: 'e27abdd2d2a53d2f136b9a4a2579529301bcfb71c78d4060f52c',
  },
  {
    key: '29d3a44f8723dc640239100c365423a312934ac80239212ac3df3421a2098123',
    nonce: '00112233445566778899aabb',
    data: 'aabbccddeeff',
    plain: '',
    sealed: '2a7d77fa526b8250cb296078926b5020',
  },
]

test('AES-256-GCM gives what the vectors say, and opens nothing else', async (t) => {
  for (const [i, vector] of AES_GCM.entries()) {
    const input = {
      key: hex(vector.key),
      nonce: hex(vector.nonce),
      additionalData: hex(vector.data),
    }
    const [plain, sealed] = [hex(vector.plain), hex(vector.sealed)]
    t.ok(same(sealAesGcm(input, plain), sealed), `vector ${i}: sealed`)
    t.ok(same(openAesGcm(input, sealed)!, plain), `vector ${i}: opened`)
    const into = new Uint8Array(sealed.length + 7).fill(0xee)
    sealAesGcmInto(into, 3, input, plain)
    t.same([...into], [238, 238, 238, ...sealed, 238, 238, 238, 238], `vector ${i}: nothing around it`)
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      if (openAesGcm(input, flipped(sealed, bit)) !== undefined)
        t.fail(`vector ${i}: bit ${bit} was not missed`)
    }
    for (const field of ['key', 'nonce', 'additionalData'] as const) {
      for (let bit = 0; bit < input[field].length * 8; bit++) {
        if (openAesGcm({ ...input, [field]: flipped(input[field], bit) }, sealed) !== undefined)
          t.fail(`vector ${i}: bit ${bit} of ${field}`)
      }
    }
    for (let length = 0; length < sealed.length; length++)
      if (openAesGcm(input, sealed.subarray(0, length)) !== undefined) t.fail(`vector ${i}: cut to ${length}`)
  }
  const input = { key: noise('key', 32), nonce: new Uint8Array(16), additionalData: new Uint8Array(0) }
  t.equal(
    codeOf(() => sealAesGcm(input, new Uint8Array(1))),
    'ERR_INTERNAL',
    'a nonce of another length',
  )
  t.equal(
    codeOf(() => openAesGcm(input, new Uint8Array(17))),
    'ERR_INTERNAL',
  )
})

test('keys are derived as RFC 5869 says', async (t) => {
  // Appendix A.3: no salt, no info; the first 32 of its 42 bytes.
  const derived = deriveKey(new Uint8Array(22).fill(0x0b), new Uint8Array(0), '' as KeyPurpose)
  t.ok(same(derived, hex('8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d')))
  const purposes: KeyPurpose[] = ['platter v1 packs', 'platter v1 metadata', 'platter v1 one pack']
  const keys = purposes.map((purpose) => Buffer.from(deriveKey(derived, hex('00'), purpose)).toString('hex'))
  t.equal(new Set(keys).size, purposes.length, 'each purpose has a key of its own')
})

/** A selection of the test vectors of Project Wycheproof; each file says which, and under which licence. */
async function wycheproof(file: string): Promise<readonly Readonly<Record<string, string>>[]> {
  const text = await readFile(new URL(`../test/wycheproof/${file}`, import.meta.url), 'utf8')
  return (JSON.parse(text) as { tests: Record<string, string>[] }).tests
}

test('AES-256-GCM passes the vectors of Project Wycheproof', async (t) => {
  const count = { valid: 0, invalid: 0 }
  for (const { tcId, comment, key, iv, aad, msg, ct, tag, result } of await wycheproof('aes-256-gcm.json')) {
    const input = { key: hex(key!), nonce: hex(iv!), additionalData: hex(aad!) }
    const [plain, sealed] = [hex(msg!), hex(ct! + tag!)]
    const opened = openAesGcm(input, sealed)
    const isRight = opened !== undefined && same(opened, plain)
    if (result === 'valid') t.ok(isRight && same(sealAesGcm(input, plain), sealed), `${tcId} ${comment}`)
    else t.equal(opened, undefined, `${tcId} ${comment}`)
    count[result as 'valid' | 'invalid']++
  }
  t.same(count, { valid: 21, invalid: 27 })
})

test('keys are derived as the vectors of Project Wycheproof say', async (t) => {
  const vectors = await wycheproof('hkdf-sha256.json')
  for (const { tcId, comment, ikm, salt, info, okm } of vectors) {
    // A purpose is ASCII; the vectors have any bytes in its place, which the derivation takes as well.
    const derived = deriveKey(hex(ikm!), hex(salt!), hex(info!) as unknown as KeyPurpose)
    t.ok(same(derived, hex(okm!).subarray(0, 32)), `${tcId} ${comment}`)
  }
  t.equal(vectors.length, 81)
})

const KEY = noise('metadata', 32)
const NAME = 'snapshots/0123456789abcdef0123456789abcdef'

function sealed(records: RecordSealer, type: RecordType, name: string, payload: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat(records.seal(type, name, payload)))
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const altered = bytes.slice()
  altered[bit >> 3]! ^= 1 << (bit & 7)
  return altered
}

test('an encrypted record opens under its own name, type and key only', async (t) => {
  const records = encryptedRecords(KEY)
  const payload = noise('payload', 100)
  const record = sealed(records, RECORD_TYPE.snapshot, NAME, payload)
  t.ok(same(records.open(RECORD_TYPE.snapshot, NAME, record), payload))
  t.equal(record.length, 256, 'filled up')
  t.notOk(Buffer.from(record).includes(Buffer.from(payload.subarray(0, 16))), 'nothing of it is readable')
  t.notOk(same(record, sealed(records, RECORD_TYPE.snapshot, NAME, payload)), 'never sealed alike')
  t.ok(
    same(
      records.open(RECORD_TYPE.forget, 'x', sealed(records, RECORD_TYPE.forget, 'x', new Uint8Array(0))),
      new Uint8Array(0),
    ),
  )

  const open = (bytes: Uint8Array): unknown => records.open(RECORD_TYPE.snapshot, NAME, bytes)
  for (let bit = 0; bit < record.length * 8; bit++)
    if (codeOf(() => open(flipped(record, bit))) !== 'ERR_CORRUPT_RECORD') t.fail(`bit ${bit}`)
  for (let length = 0; length < record.length; length++)
    if (codeOf(() => open(record.subarray(0, length))) !== 'ERR_CORRUPT_RECORD') t.fail(`length ${length}`)
  t.equal(
    codeOf(() => open(new Uint8Array([...record, 0]))),
    'ERR_CORRUPT_RECORD',
    'more behind it',
  )
  const other = NAME.replace('0', '1')
  t.equal(
    codeOf(() => records.open(RECORD_TYPE.snapshot, other, record)),
    'ERR_CORRUPT_RECORD',
    'renamed',
  )
  for (const type of Object.values(RECORD_TYPE)) {
    if (type === RECORD_TYPE.snapshot) continue
    t.equal(
      codeOf(() => records.open(type, NAME, record)),
      'ERR_CORRUPT_RECORD',
      `type ${type}`,
    )
    const relabelled = record.slice()
    relabelled[5] = type
    t.equal(
      codeOf(() => records.open(type, NAME, relabelled)),
      'ERR_CORRUPT_RECORD',
      `labelled as ${type}`,
    )
  }
  t.equal(
    codeOf(() => encryptedRecords(noise('other', 32)).open(RECORD_TYPE.snapshot, NAME, record)),
    'ERR_CORRUPT_RECORD',
    'another key',
  )
})

test('encrypted and plain records never stand in for each other', async (t) => {
  const records = encryptedRecords(KEY)
  const payload = noise('payload', 100)
  const plain = sealed(plainRecords, RECORD_TYPE.snapshot, NAME, payload)
  const encrypted = sealed(records, RECORD_TYPE.snapshot, NAME, payload)
  let message = ''
  try {
    records.open(RECORD_TYPE.snapshot, NAME, plain)
  } catch (error) {
    message = `${(error as PlatterError).code} ${(error as Error).message}`
  }
  t.match(message, /^ERR_CORRUPT_RECORD .*is not encrypted/)
  t.equal(
    codeOf(() => openRecord(RECORD_TYPE.snapshot, NAME, encrypted)),
    'ERR_CORRUPT_RECORD',
  )
  const relabelled = plain.slice()
  relabelled[6] = 1
  t.equal(
    codeOf(() => records.open(RECORD_TYPE.snapshot, NAME, relabelled)),
    'ERR_CORRUPT_RECORD',
  )
})
