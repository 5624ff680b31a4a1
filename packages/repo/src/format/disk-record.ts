import {
  type DiskDescription,
  type DiskProblem,
  encodeRecord,
  type FilesystemDescription,
  type PartitionDescription,
  PlatterError,
  RecordReader,
  type RecordValue,
  type TableDescription,
  type VolumeDescription,
} from '@platter/core'
import {
  MAX_DISK_DESCRIPTION_BYTES,
  MAX_DISK_PARTITIONS,
  MAX_DISK_PROBLEMS,
  MAX_DISK_TEXT_LENGTH,
  MAX_IMAGE_BYTES,
  MAX_LEFT_OUT_USES,
  MAX_USAGE_PARTS,
} from './limits.ts'

/** The description of a disk as it stands in the record of a snapshot. */
export function diskRecord(disk: DiskDescription): RecordValue {
  return {
    policy: disk.policy,
    table: { ...disk.table, problems: disk.table.problems.map((problem) => ({ ...problem })) },
    partitions: disk.partitions.map(({ volume, ...partition }) => ({
      ...partition,
      ...(volume === undefined ? {} : { volume: volumeRecord(volume) }),
    })),
    ...(disk.volume === undefined ? {} : { volume: volumeRecord(disk.volume) }),
    usage: Uint8Array.from(disk.usage),
  }
}

function volumeRecord({ filesystem, leftOut, problem, ...volume }: VolumeDescription): RecordValue {
  return {
    ...volume,
    ...(filesystem === undefined ? {} : { filesystem: { ...filesystem } }),
    leftOut: leftOut.map((each) => ({ ...each })),
    ...(problem === undefined ? {} : { problem: { ...problem } }),
  }
}

/** Reads what {@link diskRecord} made. @throws ERR_CORRUPT_RECORD, RangeError */
export function readDisk(disk: RecordReader): DiskDescription {
  const usage = disk.byteString('usage', MAX_USAGE_PARTS)
  return {
    policy: textOf(disk, 'policy'),
    table: readTable(disk.record('table')),
    partitions: disk.records('partitions', MAX_DISK_PARTITIONS).map(readPartition),
    ...(disk.has('volume') ? { volume: readVolume(disk.record('volume')) } : {}),
    usage: [...usage],
  }
}

/**
 * The description that a source gives, as it can be read again.
 *
 * @throws ERR_INVALID_ARGUMENT when it cannot.
 */
export function storableDisk(disk: DiskDescription): DiskDescription {
  try {
    const encoded = encodeRecord(diskRecord(disk))
    if (encoded.length > MAX_DISK_DESCRIPTION_BYTES)
      throw new RangeError(`it has more than ${MAX_DISK_DESCRIPTION_BYTES} bytes.`)
    if (!disk.usage.every((share) => Number.isInteger(share) && share >= 0 && share <= 255))
      throw new RangeError('its usage is not of numbers from 0 to 255.')
    return readDisk(RecordReader.decode(encoded, 'description of the disk'))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new PlatterError(
      'ERR_INVALID_ARGUMENT',
      `What the source says of its disk cannot be kept in a snapshot: ${why}`,
      { cause },
    )
  }
}

function readTable(table: RecordReader): TableDescription {
  return {
    kind: textOf(table, 'kind'),
    sectorBytes: table.integer('sectorBytes', 1, MAX_IMAGE_BYTES),
    ...optionalText(table, 'id'),
    problems: table
      .records('problems', MAX_DISK_PROBLEMS)
      .map((problem) => ({ ...readProblem(problem), severity: textOf(problem, 'severity') })),
  }
}

function readPartition(partition: RecordReader): PartitionDescription {
  return {
    number: partition.integer('number', 1),
    kind: textOf(partition, 'kind'),
    offset: partition.integer('offset', 0, MAX_IMAGE_BYTES),
    length: partition.integer('length', 0, MAX_IMAGE_BYTES),
    type: textOf(partition, 'type'),
    ...optionalText(partition, 'typeName'),
    partUuid: textOf(partition, 'partUuid'),
    ...optionalText(partition, 'name'),
    bootable: partition.boolean('bootable'),
    ...(partition.has('volume') ? { volume: readVolume(partition.record('volume')) } : {}),
  }
}

function readVolume(volume: RecordReader): VolumeDescription {
  return {
    ...(volume.has('filesystem') ? { filesystem: readFilesystem(volume.record('filesystem')) } : {}),
    ...(volume.has('usedBytes') ? { usedBytes: volume.integer('usedBytes', 0, MAX_IMAGE_BYTES) } : {}),
    leftOut: volume.records('leftOut', MAX_LEFT_OUT_USES).map((each) => ({
      use: textOf(each, 'use'),
      bytes: each.integer('bytes', 0, MAX_IMAGE_BYTES),
    })),
    ...(volume.has('problem') ? { problem: readProblem(volume.record('problem')) } : {}),
  }
}

function readFilesystem(filesystem: RecordReader): FilesystemDescription {
  return {
    type: textOf(filesystem, 'type'),
    ...optionalText(filesystem, 'label'),
    ...optionalText(filesystem, 'uuid'),
    blockBytes: filesystem.integer('blockBytes', 0, MAX_IMAGE_BYTES),
    sizeBytes: filesystem.integer('sizeBytes', 0, MAX_IMAGE_BYTES),
  }
}

function readProblem(problem: RecordReader): DiskProblem {
  return { code: textOf(problem, 'code'), message: textOf(problem, 'message') }
}

function textOf(record: RecordReader, field: string): string {
  return record.string(field, MAX_DISK_TEXT_LENGTH)
}

function optionalText<Field extends string>(
  record: RecordReader,
  field: Field,
): { readonly [key in Field]?: string } {
  if (!record.has(field)) return {}
  return { [field]: textOf(record, field) } as { readonly [key in Field]: string }
}
