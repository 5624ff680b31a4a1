const KIB = 1024
const MIB = 1024 * KIB

/** Largest image: every offset in it is an exact JavaScript number. */
export const MAX_IMAGE_BYTES: number = Number.MAX_SAFE_INTEGER
/** Grid on which zeros are found, block digests are taken and aligned chunks are cut. */
export const BLOCK_BYTES: number = 4 * KIB
/** Shortest run of zero blocks that becomes a hole. */
export const MIN_HOLE_BYTES: number = 64 * KIB
/** Part of an image that one leaf describes; its borders are chunk borders. */
export const DEFAULT_REGION_BYTES: number = 64 * MIB
export const MIN_REGION_BYTES: number = 64 * KIB
export const MAX_REGION_BYTES: number = 256 * MIB
/** Longest chunk any chunker of a repository may make. */
export const MAX_CHUNK_BYTES: number = 16 * MIB - 1
/** A pack is closed when its blobs reach this size. */
export const DEFAULT_PACK_BYTES: number = 32 * MIB
/** A pack is closed, too, when it has so many blobs. */
export const ENTRIES_PER_PACK: number = 128 * KIB
export const MIN_PACK_BYTES: number = 64 * KIB
export const MAX_PACK_BYTES: number = 128 * MIB
/** Longest pack file a reader accepts: a full pack, one slab more, and its directory. */
export const MAX_PACK_FILE_BYTES: number = 256 * MIB
/** Children of an interior node of a volume tree. */
export const TREE_FANOUT = 1024
/** Levels of a volume tree: enough for the largest image in the smallest regions. */
export const MAX_TREE_LEVELS = 5
/** Longest encoded tree node. */
export const MAX_NODE_BYTES: number = 16 * MIB - 1
/** Longest record: config, session, snapshot, fence, forget. */
export const MAX_RECORD_BYTES: number = 16 * MIB
/** Most blobs of a pack that a reader accepts. */
export const MAX_PACK_ENTRIES: number = 512 * KIB
/** Longest blob as it is stored, without its tag: codecs make what does not compress a little longer. */
export const MAX_STORED_BLOB_BYTES: number = 16 * MIB + 128 * KIB
/** Longest index segment that a reader accepts: of this length, one takes less than 256 MiB of memory. */
export const MAX_INDEX_SEGMENT_BYTES: number = 64 * MIB
/** Most packs of an index segment that a reader accepts. */
export const MAX_INDEX_SEGMENT_PACKS: number = 64 * KIB
/** An index segment is written when it lists so many packs, so an interrupted backup loses little. */
export const PACKS_PER_INDEX_SEGMENT = 64
export const MAX_TAGS = 64
export const MAX_TAG_LENGTH = 256
export const MAX_NAME_LENGTH = 1024
/** Longest text a source says about itself: its kind, and its label, which may be a path. */
export const MAX_LABEL_LENGTH = 4096
/** Ranges of unreadable bytes that a snapshot records; more, and the disk is not worth imaging this way. */
export const MAX_BAD_RANGES = 65_536
/** Ranges that a damage mark lists; where more are damaged, the closest ones are listed as one. */
export const MAX_DAMAGED_RANGES = 65_536
/** Key slots of a repository: each may have to be tried, and trying one takes time and memory. */
export const MAX_KEY_SLOTS = 32
/** Key slots that a reader accepts: additions at once may pass the other limit, and die before they step back. */
export const MAX_KEY_SLOTS_READ = 256
/** Longest key slot. */
export const MAX_KEY_SLOT_BYTES: number = 16 * KIB
export const MAX_KEY_LABEL_LENGTH = 256
/** Content of a key file: no fewer bytes than the keys made from it have. */
export const MIN_KEY_FILE_BYTES = 32
export const MAX_KEY_FILE_BYTES: number = 64 * KIB
/** Longest passphrase, as UTF-8. */
export const MAX_PASSPHRASE_BYTES: number = 64 * KIB
/** Longest fence: a longer object in a snapshot's place is a snapshot, and need not be read to know that. */
export const MAX_FENCE_BYTES = 256
/** Packs that one generation of garbage collection condemns. */
export const MAX_CONDEMNED_PACKS = 100_000
/** Entries of an index segment, however few packs it lists; only a single pack may have more. */
export const ENTRIES_PER_INDEX_SEGMENT = 1_000_000
/** Index segments that one generation of garbage collection replaces. */
export const MAX_REPLACED_SEGMENTS = 50_000
/** Space a store keeps back, so that a prune can begin when it is full. */
export const RESERVE_BYTES: number = 4 * MIB
/** Partitions that the description of a disk lists. */
export const MAX_DISK_PARTITIONS = 1024
/** Longest text in the description of a disk. */
export const MAX_DISK_TEXT_LENGTH = 1024
/** Problems of a partition table that it lists. */
export const MAX_DISK_PROBLEMS = 64
/** Kinds of what is left out of a volume. */
export const MAX_LEFT_OUT_USES = 16
/** Parts into which its picture of what is in use is divided. */
export const MAX_USAGE_PARTS = 1024
/** Longest description, encoded: it has its place in a record of 16 MiB beside the bad ranges. */
export const MAX_DISK_DESCRIPTION_BYTES: number = 4 * MIB
