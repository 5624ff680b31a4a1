export * from './bare-metal/index.ts'
export { DiskSource, type DiskSourceOptions } from './disk/disk-source.ts'
export type { Mounts } from './disk/mounts.ts'
export { type OpenDiskOptions, openDisk } from './disk/open-disk.ts'
export type { DiskSurvey, SurveyedVolume, SurveyOptions } from './disk/survey-disk.ts'
export * from './filesystems/filesystem-map.ts'
export { type ProbeOptions, probeFilesystem } from './filesystems/probe-filesystem.ts'
export {
  type ReadPolicy,
  type UsedExtents,
  type UsedExtentsOptions,
  usedExtents,
} from './filesystems/used-extents.ts'
export { type SourceRange, type Volume, volumeOf } from './filesystems/volume.ts'
export { Overlay, type OverlayOptions } from './overlay/overlay.ts'
export { PinFile } from './pin/pin-file.ts'
export { BlockDeviceSource, type BlockDeviceSourceOptions } from './sources/block-device-source.ts'
export { FileSource, type FileSourceOptions } from './sources/file-source.ts'
export { type ImageSourceOptions, imageSource } from './sources/image-source.ts'
export { MemorySource, type MemorySourceOptions } from './sources/memory-source.ts'
export { type OpenSourceOptions, openSource } from './sources/open-source.ts'
export type { PieceReader, StreamInput } from './sources/piece-reader.ts'
export type { SourceWarning, SourceWarningOption } from './sources/source-warning.ts'
export { StreamSource, type StreamSourceOptions } from './sources/stream-source.ts'
export { LOCAL_STORE_DEFAULTS, LocalStore, type LocalStoreOptions } from './stores/local-store.ts'
export { MemoryStore } from './stores/memory-store.ts'
export {
  nodeFileSystem,
  type StoreDirent,
  type StoreFile,
  type StoreFileStat,
  type StoreFileSystem,
} from './stores/store-file-system.ts'
export {
  type KoffiLoader,
  type LinuxCalls,
  type LinuxCallsOption,
  loadLinuxCalls,
} from './system/linux-calls.ts'
export { BlockDeviceTarget, type BlockDeviceTargetOptions } from './targets/block-device-target.ts'
export { FileTarget, type FileTargetOptions } from './targets/file-target.ts'
export { MemoryTarget, type MemoryTargetOptions } from './targets/memory-target.ts'
export { type OpenTargetOptions, openTarget } from './targets/open-target.ts'
export type { PieceWriter, StreamOutput } from './targets/piece-writer.ts'
export { StreamTarget, type StreamTargetOptions } from './targets/stream-target.ts'
