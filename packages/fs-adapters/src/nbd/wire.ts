// Numbers of the NBD protocol, as its specification names them
// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). All integers are big-endian.

export const GREETING_MAGIC = 0x4e42444d41474943n
export const OPTION_MAGIC = 0x49484156454f5054n
export const OPTION_REPLY_MAGIC = 0x0003e889045565a9n
export const REQUEST_MAGIC = 0x25609513
export const SIMPLE_REPLY_MAGIC = 0x67446698
export const CHUNK_MAGIC = 0x668e33ef

export const REQUEST_BYTES = 28
export const OPTION_HEADER_BYTES = 16

/** Flags that the server greets with, and those the client answers. */
export const HANDSHAKE = { fixedNewstyle: 1, noZeroes: 2 } as const

export const OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const

export const OPTION_REPLY = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: 0x8000_0001,
  policy: 0x8000_0002,
  invalid: 0x8000_0003,
  tlsRequired: 0x8000_0005,
  unknown: 0x8000_0006,
  shutdown: 0x8000_0007,
  tooBig: 0x8000_0009,
} as const

export const INFO = { export: 0, name: 1, description: 2, blockSize: 3 } as const

/** What an export can do. */
export const TRANSMISSION = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  sendDf: 128,
  canMultiConn: 256,
  sendCache: 1024,
} as const

export const COMMAND = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const

export const COMMAND_FLAG = { fua: 1, noHole: 2, df: 4, reqOne: 8 } as const

export const CHUNK_DONE = 1
export const CHUNK = { none: 0, offsetData: 1, offsetHole: 2, blockStatus: 5, error: 0x8001 } as const

/** Error numbers of the protocol; those of Linux. */
export const ERRNO = {
  permission: 1,
  io: 5,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
} as const

/** Flags of `base:allocation`. */
export const ALLOCATION = { hole: 1, zero: 2 } as const

/** A string may have so many bytes (specification, Values). */
export const MAX_STRING_BYTES = 4096
/** Longest payload that clients may count on (specification, Size constraints). */
export const MAX_PAYLOAD_BYTES: number = 32 * 1024 * 1024
