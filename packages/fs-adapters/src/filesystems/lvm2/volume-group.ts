import { ensure, SurveyError } from '../common/survey-error.ts'
import type { PhysicalVolume } from './physical-volume.ts'
import { parseTextFormat, type TextSection, type TextValue } from './text-format.ts'

const SECTOR = 512
/** What may be said of a group or a physical volume that is in order. */
const GROUP_STATUS = ['RESIZEABLE', 'READ', 'WRITE']
const PHYSICAL_STATUS = ['ALLOCATABLE']
const PLAIN_VOLUME_STATUS = ['READ', 'WRITE', 'VISIBLE']

/** What the metadata say about one physical volume. */
export interface VolumeGroup {
  readonly extentBytes: number
  /** Where extents begin on the physical volume, in bytes, and how many there are. */
  readonly extentsAt: number
  readonly extentCount: number
  /** What is allocated on the physical volume, ascending, without overlap. */
  readonly runs: readonly AllocatedRun[]
  readonly volumes: readonly LogicalVolume[]
}

/** Extents of the physical volume that follow each other. */
export interface AllocatedRun {
  readonly start: number
  readonly count: number
  readonly volume: LogicalVolume
  /** Extent of the logical volume that is the first of them; means something for plain ones only. */
  readonly volumeStart: number
}

/** A logical volume. */
export interface LogicalVolume {
  readonly name: string
  readonly extentCount: number
  /** Why its content cannot be looked at; undefined when it lies on this physical volume, extent by extent. */
  readonly notPlain: string | undefined
}

/**
 * Reads the metadata of a group for one of its physical volumes.
 *
 * @throws SurveyError
 */
export function parseVolumeGroup(text: string, physical: PhysicalVolume): VolumeGroup {
  const root = parseTextFormat(text)
  ensure(
    root.get('contents') === 'Text Format Volume Group',
    'unknown-feature',
    'its metadata are of another kind',
  )
  ensure(root.get('version') === 1, 'unknown-feature', 'its metadata have an unknown version')
  const groups = [...root.values()].filter(isSection)
  ensure(groups.length === 1, 'inconsistent', `its metadata have ${groups.length} groups`)
  const group = groups[0]!
  assertGroupInOrder(group)
  const physicals = sectionOf(group, 'physical_volumes')
  const [ownName, own] = findOwn(physicals, physical.id)
  const extentBytes = numberOf(group, 'extent_size') * SECTOR
  const [extentsAt, extentCount] = [numberOf(own, 'pe_start') * SECTOR, numberOf(own, 'pe_count')]
  ensure(extentBytes > 0, 'inconsistent', 'its extents have no size')
  ensure(
    extentsAt === physical.data.offset,
    'inconsistent',
    'label and metadata do not agree where extents begin',
  )
  ensure(
    extentsAt + extentCount * extentBytes <= physical.sizeBytes,
    'out-of-range',
    `${extentCount} extents of ${extentBytes} bytes do not fit on it`,
  )
  const volumes = group.has('logical_volumes') ? sectionOf(group, 'logical_volumes') : new Map()
  const reading = new VolumesReading(new Set(physicals.keys()), ownName, volumes)
  return { extentBytes, extentsAt, extentCount, ...reading.read(extentCount) }
}

function assertGroupInOrder(group: TextSection): void {
  ensure(group.get('format') === 'lvm2', 'unknown-feature', 'its group has an unknown format')
  const status = stringsOf(group, 'status')
  ensure(!status.includes('EXPORTED'), 'opaque', 'its group is exported')
  const unknown = [...status.filter((word) => !GROUP_STATUS.includes(word)), ...stringsOf(group, 'flags')]
  ensure(unknown.length === 0, 'unknown-feature', `its group is ${unknown.join(', ')}`)
  const lock = group.get('lock_type') ?? 'none'
  ensure(lock === 'none', 'opaque', 'its group is shared by several machines')
}

function findOwn(physicals: TextSection, id: string): [name: string, section: TextSection] {
  const own: [string, TextSection][] = []
  for (const [name, section] of physicals) {
    ensure(isSection(section), 'inconsistent', `${name} is no physical volume`)
    const isMissing = stringsOf(section, 'flags').includes('MISSING')
    ensure(!isMissing, 'not-clean', 'a physical volume of its group is missing')
    const unknown = [
      ...stringsOf(section, 'status').filter((word) => !PHYSICAL_STATUS.includes(word)),
      ...stringsOf(section, 'flags'),
    ]
    ensure(unknown.length === 0, 'unknown-feature', `a physical volume is ${unknown.join(', ')}`)
    if (String(section.get('id')).replaceAll('-', '') === id) own.push([name, section])
  }
  ensure(own.length === 1, 'inconsistent', `its metadata name it ${own.length} times`)
  return own[0]!
}

/** Finds out what logical volumes have of one physical volume. */
class VolumesReading {
  readonly #physicals: ReadonlySet<string>
  readonly #own: string
  readonly #sections: TextSection
  readonly #runs: AllocatedRun[] = []
  /** By name: those that lead to it. */
  readonly #referrers = new Map<string, string>()

  constructor(physicals: ReadonlySet<string>, own: string, sections: TextSection) {
    this.#physicals = physicals
    this.#own = own
    this.#sections = sections
  }

  read(extentCount: number): Pick<VolumeGroup, 'runs' | 'volumes'> {
    const segments = new Map<string, readonly TextSection[]>()
    for (const [name, section] of this.#sections) {
      ensure(isSection(section), 'inconsistent', `${name} is no logical volume`)
      segments.set(name, segmentsOf(name, section))
      for (const word of segments.get(name)!.flatMap(words)) {
        if (this.#sections.has(word)) this.#referrers.set(word, name)
      }
    }
    const volumes: LogicalVolume[] = []
    for (const [name, ownSegments] of segments) {
      const volume = this.#volume(name, this.#sections.get(name) as TextSection, ownSegments)
      volumes.push(volume)
      for (const segment of ownSegments) this.#takeRuns(volume, segment)
    }
    const runs = this.#runs.sort((a, b) => a.start - b.start)
    let end = 0
    for (const { start, count, volume } of runs) {
      ensure(start >= end, 'inconsistent', `'${volume.name}' has extents that another one has`)
      end = start + count
    }
    ensure(
      end <= extentCount,
      'out-of-range',
      `extents up to ${end} are in use, and there are ${extentCount}`,
    )
    return { runs, volumes }
  }

  #volume(name: string, section: TextSection, segments: readonly TextSection[]): LogicalVolume {
    const status = stringsOf(section, 'status')
    const isMoving = status.includes('PVMOVE') || status.includes('LOCKED')
    ensure(!isMoving, 'not-clean', `'${name}' is being moved`)
    const unknown = [
      ...status.filter((word) => !PLAIN_VOLUME_STATUS.includes(word)),
      ...stringsOf(section, 'flags'),
    ]
    const referrer = this.#referrers.get(name)
    let notPlain: string | undefined
    if (unknown.length > 0) notPlain = `it is ${unknown.join(', ')}`
    else if (!status.includes('VISIBLE')) notPlain = 'it is a part of another one'
    else if (referrer !== undefined) notPlain = `'${referrer}' rests on it`
    else if (!segments.every((segment) => this.#isLinear(segment)))
      notPlain = 'it is not linear, or lies elsewhere'
    const last = segments.at(-1)
    const extentCount =
      last === undefined ? 0 : numberOf(last, 'start_extent') + numberOf(last, 'extent_count')
    return { name, extentCount, notPlain }
  }

  #isLinear(segment: TextSection): boolean {
    const stripes = segment.get('stripes')
    return (
      segment.get('type') === 'striped' &&
      segment.get('stripe_count') === 1 &&
      Array.isArray(stripes) &&
      stripes[0] === this.#own
    )
  }

  /** What a segment has of the physical volume. */
  #takeRuns(volume: LogicalVolume, segment: TextSection): void {
    if (segment.get('type') !== 'striped') {
      const isDirect = words(segment).some((word) => this.#physicals.has(word))
      ensure(!isDirect, 'unknown-feature', `'${volume.name}' has extents in a way that is not known`)
      return
    }
    const stripes = segment.get('stripes')
    const stripeCount = numberOf(segment, 'stripe_count')
    const count = numberOf(segment, 'extent_count') / stripeCount
    const isSound = Array.isArray(stripes) && stripes.length === 2 * stripeCount && Number.isInteger(count)
    ensure(isSound && count > 0, 'inconsistent', `'${volume.name}' has a segment that is none`)
    for (let i = 0; i < stripes.length; i += 2) {
      const [name, start] = [stripes[i], stripes[i + 1]]
      const isKnown = typeof name === 'string' && (this.#physicals.has(name) || this.#sections.has(name))
      const isPlace = typeof start === 'number' && start >= 0
      ensure(isKnown && isPlace, 'inconsistent', `'${volume.name}' has a stripe that is nowhere`)
      if (name !== this.#own) continue
      this.#runs.push({ start, count, volume, volumeStart: numberOf(segment, 'start_extent') })
    }
  }
}

/** The segments of a volume in their order, which have to follow each other. */
function segmentsOf(name: string, volume: TextSection): readonly TextSection[] {
  const count = numberOf(volume, 'segment_count')
  const sections = [...volume.values()].filter(isSection)
  ensure(
    sections.length === count,
    'inconsistent',
    `'${name}' has ${sections.length} segments, and says ${count}`,
  )
  let end = 0
  return Array.from({ length: count }, (_, i) => {
    const segment = sectionOf(volume, `segment${i + 1}`)
    ensure(numberOf(segment, 'start_extent') === end, 'inconsistent', `'${name}' has segments with gaps`)
    end += numberOf(segment, 'extent_count')
    return segment
  })
}

/** All strings in a section, and in those within. */
function words(value: TextValue): string[] {
  if (typeof value === 'number') return []
  if (typeof value === 'string') return [value]
  return [...value.values()].flatMap((inner) => words(inner))
}

function isSection(value: TextValue | undefined): value is TextSection {
  return value instanceof Map
}

function sectionOf(section: TextSection, name: string): TextSection {
  const value = section.get(name)
  if (isSection(value)) return value
  throw new SurveyError('inconsistent', `its metadata lack ${name}`)
}

function numberOf(section: TextSection, name: string): number {
  const value = section.get(name)
  if (typeof value === 'number' && value >= 0) return value
  throw new SurveyError('inconsistent', `its metadata lack ${name}`)
}

/** An array of strings; one that is not there is empty. */
function stringsOf(section: TextSection, name: string): string[] {
  const value = section.get(name) ?? []
  ensure(Array.isArray(value), 'inconsistent', `${name} is no list in its metadata`)
  return value.map(String)
}
