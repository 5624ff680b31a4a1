import type { KeySlotId, PackId, SessionId, SnapshotId } from '@platter/core'

/** The object that makes a store a repository. */
export const CONFIG_NAME = 'config'
export const PACKS_PREFIX = 'packs/'
export const INDEX_PREFIX = 'index/'
export const SESSIONS_PREFIX = 'sessions/'
export const SNAPSHOTS_PREFIX = 'snapshots/'
export const FORGET_PREFIX = 'forget/'
export const DAMAGE_PREFIX = 'damage/'
export const QUARANTINE_PREFIX = 'quarantine/'
export const KEYS_PREFIX = 'keys/'
export const KEY_REMOVALS_PREFIX = 'key-removals/'
export const GC_PREFIX = 'gc/'
/** Number of the session record that says that the writer has given up. */
export const END_INTENT = 999_999

export function packName(id: PackId): string {
  return `${PACKS_PREFIX}${id.slice(0, 2)}/${id}`
}

/** What the names of a session's index segments begin with. */
export function indexPrefix(session: SessionId): string {
  return `${INDEX_PREFIX}${session}/`
}

/** @param segment counts from 0 within a session. */
export function indexSegmentName(session: SessionId, segment: number): string {
  return `${indexPrefix(session)}${String(segment).padStart(6, '0')}`
}

/** @param intent counts from 0 within a session. */
export function sessionName(session: SessionId, intent: number): string {
  return `${SESSIONS_PREFIX}${session}/${String(intent).padStart(6, '0')}`
}

export function snapshotName(id: SnapshotId): string {
  return `${SNAPSHOTS_PREFIX}${id}`
}

export function forgetName(id: SnapshotId): string {
  return `${FORGET_PREFIX}${id}`
}

/** @param mark counts from 0 for each snapshot; the highest one holds. */
export function damageName(id: SnapshotId, mark: number): string {
  return `${DAMAGE_PREFIX}${id}/${String(mark).padStart(6, '0')}`
}

export function quarantineName(id: PackId): string {
  return `${QUARANTINE_PREFIX}${id}`
}

export function keySlotName(id: KeySlotId): string {
  return `${KEYS_PREFIX}${id}`
}

/** @param removal counts from 0 within a repository. */
export function keyRemovalName(removal: number): string {
  return `${KEY_REMOVALS_PREFIX}${String(removal).padStart(6, '0')}`
}

/** Number of the removal of a key slot that an object name names, or undefined. */
export function keyRemovalOfName(name: string): number | undefined {
  const match = /^key-removals\/([0-9]{6})$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** Id of the pack that an object name names, or undefined for a name that is none. */
export function packIdOfName(name: string): PackId | undefined {
  const match = /^packs\/([0-9a-f]{2})\/(\1[0-9a-f]{62})$/.exec(name)
  return match?.[2] as PackId | undefined
}

/** Id of the snapshot that an object name names, or undefined. */
export function snapshotIdOfName(name: string): SnapshotId | undefined {
  return /^snapshots\/([0-9a-f]{32})$/.exec(name)?.[1] as SnapshotId | undefined
}

/** Id of the forgotten snapshot that a tombstone's name names, or undefined. */
export function forgottenIdOfName(name: string): SnapshotId | undefined {
  return /^forget\/([0-9a-f]{32})$/.exec(name)?.[1] as SnapshotId | undefined
}

/** Session of an index segment's name, or undefined. */
export function indexSessionOfName(name: string): SessionId | undefined {
  return /^index\/([0-9a-f]{32})\/[0-9]{6}$/.exec(name)?.[1] as SessionId | undefined
}

/** Snapshot and number of a damage mark's name, or undefined. */
export function damageMarkOfName(
  name: string,
): { readonly id: SnapshotId; readonly mark: number } | undefined {
  const match = /^damage\/([0-9a-f]{32})\/([0-9]{6})$/.exec(name)
  return match === null ? undefined : { id: match[1] as SnapshotId, mark: Number(match[2]) }
}

/** Id of the pack that a quarantine record's name names, or undefined. */
export function quarantinedIdOfName(name: string): PackId | undefined {
  return /^quarantine\/([0-9a-f]{64})$/.exec(name)?.[1] as PackId | undefined
}

/** Id of the key slot that an object name names, or undefined. */
export function keySlotIdOfName(name: string): KeySlotId | undefined {
  return /^keys\/([0-9a-f]{32})$/.exec(name)?.[1] as KeySlotId | undefined
}

/** Session and number of a session record's name, or undefined. */
export function intentOfName(
  name: string,
): { readonly session: SessionId; readonly intent: number } | undefined {
  const match = /^sessions\/([0-9a-f]{32})\/([0-9]{6})$/.exec(name)
  return match === null ? undefined : { session: match[1] as SessionId, intent: Number(match[2]) }
}

/** The three objects of a generation of garbage collection, in the order in which they are created. */
export type GcStep = 'mark' | 'sweep' | 'done'

/** @param generation counts from 1. */
export function gcName(generation: number, step: GcStep): string {
  return `${GC_PREFIX}${generation}.${step}`
}

/** Generation and step of an object under `gc/`, or undefined. */
export function gcStepOfName(
  name: string,
): { readonly generation: number; readonly step: GcStep } | undefined {
  const match = /^gc\/([1-9][0-9]{0,14})\.(mark|sweep|done)$/.exec(name)
  return match === null ? undefined : { generation: Number(match[1]), step: match[2] as GcStep }
}
