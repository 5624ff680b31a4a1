import { type ErrorCode, PlatterError, type SnapshotId } from '@platter/core'
import {
  planRetention,
  type RetentionDecision,
  type RetentionOptions,
  type RetentionPolicy,
  type RetentionSubject,
} from '@platter/repo'
import * as fc from 'fast-check'
import { test } from 'tap'
import { parseDuration } from '../dist/retention/retention-duration.js'
import { ZonedCalendar } from '../dist/retention/zoned-calendar.js'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = new Date('2026-11-23T12:00:00Z')
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Pacific/Apia',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
]

let made = 0
function subject(time: string, more: Partial<RetentionSubject> = {}): RetentionSubject {
  return {
    id: String(made++).padStart(32, '0') as SnapshotId,
    name: 'disk',
    host: 'lab',
    time,
    tags: [],
    ...more,
  }
}

/** Times of the snapshots that are kept, oldest first. */
function keptTimes(
  times: readonly string[],
  policy: RetentionPolicy,
  options: RetentionOptions = {},
): string[] {
  const decisions = planRetention(
    times.map((time) => subject(time)),
    policy,
    { now: NOW, timeZone: 'UTC', ...options },
  )
  return decisions.filter(({ keep }) => keep).map(({ snapshot }) => snapshot.time)
}

/** The reasons for one decision in words. */
function words({ reasons }: RetentionDecision<RetentionSubject>): string {
  return reasons.map(({ rule, detail }) => (detail === undefined ? rule : `${rule} ${detail}`)).join(', ')
}

function codeOfCall(call: () => unknown): ErrorCode | string {
  try {
    call()
    return 'no error'
  } catch (error) {
    return error instanceof PlatterError ? error.code : String(error)
  }
}

// --- examples --------------------------------------------------------------------------------------------------

test('each rule keeps what it says, and says so', async (t) => {
  const times = [
    '2024-12-30T10:00:00Z', // a Monday, in the first week of 2025
    '2025-12-31T10:00:00Z', // a Wednesday, in the first week of 2026
    '2026-01-01T10:00:00Z',
    '2026-10-31T10:00:00Z',
    '2026-11-15T23:00:00Z', // a Sunday, in week 46
    '2026-11-16T01:00:00Z', // a Monday, in week 47
    '2026-11-22T08:10:00Z',
    '2026-11-22T08:50:00Z',
    '2026-11-22T21:00:00Z',
  ]
  const reasonsOf = (policy: RetentionPolicy): string[] =>
    planRetention(
      times.map((time) => subject(time)),
      policy,
      { now: NOW, timeZone: 'UTC' },
    ).map(words)
  t.same(reasonsOf({ keepLast: 2 }).slice(-3), ['', 'last 2', 'last 1'])
  t.same(reasonsOf({ keepHourly: 3 }), [
    '',
    '',
    '',
    '',
    '',
    'hourly 2026-11-16T01+00:00',
    '',
    'hourly 2026-11-22T08+00:00',
    'hourly 2026-11-22T21+00:00',
  ])
  t.same(reasonsOf({ keepDaily: 3 }), [
    '',
    '',
    '',
    '',
    'daily 2026-11-15',
    'daily 2026-11-16',
    '',
    '',
    'daily 2026-11-22',
  ])
  t.same(reasonsOf({ keepWeekly: 5 }), [
    'weekly 2025-W01',
    '',
    'weekly 2026-W01',
    'weekly 2026-W44',
    'weekly 2026-W46',
    '',
    '',
    '',
    'weekly 2026-W47',
  ])
  t.same(reasonsOf({ keepMonthly: 3 }), [
    '',
    '',
    'monthly 2026-01',
    'monthly 2026-10',
    '',
    '',
    '',
    '',
    'monthly 2026-11',
  ])
  t.same(reasonsOf({ keepYearly: 2 }), ['', 'yearly 2025', '', '', '', '', '', '', 'yearly 2026'])
  t.same(reasonsOf({ keepWithin: '14h' }).slice(-4), ['', 'within 14h', 'within 14h', 'within 14h'])
  t.same(
    reasonsOf({ keepLast: 1, keepDaily: 1, keepYearly: 1, keepWithin: '1h' }).at(-1),
    'last 1, daily 2026-11-22, yearly 2026, within 1h',
    'every reason is told',
  )
  t.same(reasonsOf({ keepLast: 1, keepDaily: 0 }).filter(Boolean), ['last 1'], 'a count of 0 is no rule')
  t.same(reasonsOf({ keepLast: Number.MAX_SAFE_INTEGER }).filter(Boolean).length, times.length)
})

test('groups are those of one name and host, and come in order', async (t) => {
  const at = (hour: number): string => `2026-11-20T${String(hour).padStart(2, '0')}:00:00Z`
  const decisions = planRetention(
    [
      subject(at(5), { name: 'b' }),
      subject(at(1), { name: 'b', host: 'x' }),
      subject(at(3), { name: 'a' }),
      subject(at(4), { name: 'a' }),
      subject(at(2), { name: 'b', host: 'x' }),
      // Joined by a separator, these two would be one.
      subject(at(1), { name: 'c', host: 'd","e' }),
      subject(at(2), { name: 'c","d', host: 'e' }),
    ],
    { keepLast: 1 },
    { now: NOW },
  )
  t.same(
    decisions.map(({ snapshot: { name, host, time }, keep }) => [name, host, time, keep]),
    [
      ['a', 'lab', at(3), false],
      ['a', 'lab', at(4), true],
      ['b', 'lab', at(5), true],
      ['b', 'x', at(1), false],
      ['b', 'x', at(2), true],
      ['c', 'd","e', at(1), true],
      ['c","d', 'e', at(2), true],
    ],
  )
  t.same(planRetention([], { keepLast: 1 }), [])
})

test('tags keep; the newest stays even if no rule keeps it', async (t) => {
  const snapshots = [
    subject('2026-01-01T00:00:00Z', { tags: ['gold', 'x'] }),
    subject('2026-01-02T00:00:00Z', { tags: ['silver'] }),
    subject('2026-01-03T00:00:00Z', { tags: ['golden'] }),
    subject('2026-01-04T00:00:00Z'),
  ]
  t.same(planRetention(snapshots, { keepTags: ['gold', 'silver'] }, { now: NOW }).map(words), [
    'tag gold',
    'tag silver',
    '',
    'newest',
  ])
})

test('what is dated in the future stays and takes no place', async (t) => {
  const times = ['2026-11-20T10:00:00Z', '2026-11-21T10:00:00Z', '2026-11-22T10:00:00Z']
  const policies: RetentionPolicy[] = [
    { keepLast: 2 },
    { keepDaily: 2 },
    { keepYearly: 1 },
    { keepWithin: '1d' },
    { keepTags: ['none'] },
  ]
  for (const policy of policies) {
    const without = keptTimes(times, policy)
    const ahead = ['2026-11-23T12:00:00.001Z', '2099-01-01T00:00:00Z', '2099-12-31T00:00:00Z']
    t.same(keptTimes([...times, ...ahead], policy), [...without, ...ahead], JSON.stringify(policy))
  }
  t.same(
    planRetention([subject('2099-01-01T00:00:00Z')], { keepLast: 1 }, { now: NOW }).map(words),
    ['future'],
    'also where there is no other',
  )
  t.same(
    keptTimes(times, { keepLast: 1 }, { now: new Date(0) }),
    times,
    'a clock that is behind makes everything stay',
  )
  t.same(
    keptTimes(['1970-01-01T00:00:00Z', ...times], { keepDaily: 3, keepWithin: '3d' }),
    times,
    'one of long ago costs no other',
  )
})

test('durations', async (t) => {
  const before = (from: string, duration: string, timeZone = 'UTC'): string => {
    const millis = new ZonedCalendar(timeZone).before(Date.parse(from), parseDuration(duration))
    return Number.isFinite(millis) ? new Date(millis).toISOString().replace('.000Z', 'Z') : String(millis)
  }
  const cases: [from: string, duration: string, expected: string, timeZone?: string][] = [
    ['2026-11-22T10:00:00Z', '30d', '2026-10-23T10:00:00Z'],
    ['2026-11-22T10:00:00Z', '1y6m', '2025-05-22T10:00:00Z'],
    ['2026-11-22T10:00:00Z', '1y2m3w4d5h', '2025-08-28T05:00:00Z'],
    ['2026-03-31T10:00:00Z', '1m', '2026-02-28T10:00:00Z'],
    ['2024-02-29T10:00:00Z', '1y', '2023-02-28T10:00:00Z'],
    ['2026-01-15T10:00:00Z', '2w', '2026-01-01T10:00:00Z'],
    // A day is from one time on the clock to the same of the day before, be it 23, 24 or 25 hours.
    ['2026-03-29T10:00:00Z', '1d', '2026-03-28T11:00:00Z', 'Europe/Berlin'],
    ['2026-10-25T10:00:00Z', '1d', '2026-10-24T09:00:00Z', 'Europe/Berlin'],
    ['2026-03-29T10:00:00Z', '24h', '2026-03-28T10:00:00Z', 'Europe/Berlin'],
    ['2026-11-01T15:00:00Z', '1d', '2026-10-31T14:00:00Z', 'America/New_York'],
    // 02:30 is skipped, so it lies as far before the change: at 01:30. Or it comes twice: the first.
    ['2026-03-30T00:30:00Z', '1d', '2026-03-29T00:30:00Z', 'Europe/Berlin'],
    ['2026-10-26T01:30:00Z', '1d', '2026-10-25T00:30:00Z', 'Europe/Berlin'],
    // Samoa left 30 December 2011 out; noon of it lies as far before the change: at noon of the 29th.
    ['2011-12-30T22:00:00Z', '2d', '2011-12-29T22:00:00Z', 'Pacific/Apia'],
    ['2011-12-30T22:00:00Z', '1d', '2011-12-29T22:00:00Z', 'Pacific/Apia'],
    ['2026-11-22T10:00:00Z', '1d', '2026-11-21T10:00:00Z', 'Asia/Kolkata'],
    ['2026-11-22T10:00:00Z', '99999y', '-097973-11-22T10:00:00Z'],
    ['-200000-01-01T00:00:00Z', '99999y', '-Infinity'],
  ]
  for (const [from, duration, expected, zone] of cases)
    t.equal(before(from, duration, zone), expected, `${duration} before ${from} ${zone ?? ''}`)
  const times = ['2026-10-22T09:59:59Z', '2026-10-22T10:00:00Z', '2026-11-22T10:00:00Z']
  t.same(keptTimes(times, { keepWithin: '1m' }), times.slice(1), 'the limit itself is within')
  t.same(
    keptTimes(['2020-01-01T00:00:00Z', '2020-01-05T00:00:00Z'], { keepWithin: '7d' }).length,
    2,
    'counted from the newest, not from today',
  )
})

test('periods begin and end by local clocks, also where these are changed', async (t) => {
  const day = (time: string, zone: string): string =>
    new ZonedCalendar(zone).periodOf('day', Date.parse(time))
  const hour = (time: string, zone: string): string =>
    new ZonedCalendar(zone).periodOf('hour', Date.parse(time))
  t.equal(day('2026-11-22T23:30:00Z', 'Europe/Berlin'), '2026-11-23')
  t.equal(day('2026-11-22T18:29:59Z', 'Asia/Kolkata'), '2026-11-22')
  t.equal(day('2026-11-22T18:30:00Z', 'Asia/Kolkata'), '2026-11-23')
  t.equal(hour('2026-11-22T18:29:59Z', 'Asia/Kolkata'), '2026-11-22T23+05:30')
  t.equal(day('2026-11-22T04:59:59Z', 'America/New_York'), '2026-11-21')
  t.equal(hour('1906-01-01T00:00:00Z', 'Africa/Monrovia'), '1905-12-31T23-00:43:08')
  t.equal(new ZonedCalendar('UTC').periodOf('year', -8.64e15), '-271821')
  t.equal(new ZonedCalendar('America/New_York').periodOf('day', -8.64e15), '-271821-04-20')
  t.equal(new ZonedCalendar('UTC').periodOf('week', Date.parse('0000-01-01T00:00:00Z')), '-000001-W52')

  // 02:15 comes twice in Berlin on the last Sunday of October: two hours, and each keeps its newest.
  const back = [
    '2026-10-25T00:15:00Z',
    '2026-10-25T00:45:00Z',
    '2026-10-25T01:15:00Z',
    '2026-10-25T01:45:00Z',
  ]
  t.same(keptTimes(back, { keepHourly: 9 }, { timeZone: 'Europe/Berlin' }), [back[1], back[3]])
  t.same(keptTimes(back, { keepDaily: 9 }, { timeZone: 'Europe/Berlin' }), [back[3]])
  // A day of 23 and one of 25 hours are one day each, from midnight to midnight.
  const days: [zone: string, start: string, hours: number][] = [
    ['Europe/Berlin', '2026-03-28T23:00:00Z', 23],
    ['Europe/Berlin', '2026-10-24T22:00:00Z', 25],
    ['America/New_York', '2026-03-08T05:00:00Z', 23],
    ['America/New_York', '2026-11-01T04:00:00Z', 25],
    ['Asia/Kolkata', '2026-03-08T18:30:00Z', 24],
  ]
  for (const [zone, start, hours] of days) {
    const from = Date.parse(start)
    const name = day(start, zone)
    const inside = [from, from + 12 * HOUR, from + hours * HOUR - 1]
    for (const millis of inside) t.equal(day(new Date(millis).toISOString(), zone), name)
    for (const millis of [from - 1, from + hours * HOUR])
      t.not(day(new Date(millis).toISOString(), zone), name, `${zone}, ${name}`)
  }
  // Samoa went from 29 to 31 December: two days, not three, and no hour of a third.
  const apia = Array.from({ length: 48 }, (_, n) => new Date(Date.parse('2011-12-29T10:00:00Z') + n * HOUR))
  const names = new Set(apia.map((time) => day(time.toISOString(), 'Pacific/Apia')))
  t.same([...names], ['2011-12-29', '2011-12-31'])
  t.same(
    keptTimes(
      apia.map((time) => time.toISOString()),
      { keepDaily: 2 },
      { timeZone: 'Pacific/Apia' },
    ),
    ['2011-12-30T09:00:00.000Z', '2011-12-31T09:00:00.000Z'],
  )
  // Newfoundland put its clocks back at one past midnight: the day had begun, ended, and began again.
  const midnight = [
    '2010-11-07T02:29:00Z',
    '2010-11-07T02:30:30Z',
    '2010-11-07T02:45:00Z',
    '2010-11-07T12:00:00Z',
  ]
  t.same(
    midnight.map((time) => day(time, 'America/St_Johns')),
    ['2010-11-06', '2010-11-07', '2010-11-06', '2010-11-07'],
  )
  t.same(keptTimes(midnight, { keepDaily: 2 }, { timeZone: 'America/St_Johns' }), midnight.slice(2))
})

test('what makes no sense is refused', async (t) => {
  const refused: unknown[] = [
    {},
    { keepLast: 0 },
    { keepLast: 0, keepDaily: 0, keepTags: [] },
    { keepTags: [] },
    { keepLast: -1 },
    { keepLast: 1.5 },
    { keepLast: Number.NaN },
    { keepLast: Number.POSITIVE_INFINITY },
    { keepLast: 2 ** 53 },
    { keepLast: '3' },
    { keepLast: 1, keepYearly: -1 },
    { keepLast: 1, keepDayly: 7 },
    { keepLast: 1, keepTags: 'gold' },
    { keepLast: 1, keepTags: [''] },
    { keepLast: 1, keepTags: [1] },
    null,
    undefined,
    'keepLast',
    ...['', '30', 'd', '0d', '0y0h', '-1d', '1.5d', '1d1y', '1 d', '30D', '123456d', 'P30D', '1d\n', 30].map(
      (keepWithin) => ({ keepLast: 1, keepWithin }),
    ),
  ]
  for (const policy of refused) {
    const code = codeOfCall(() => planRetention([], policy as RetentionPolicy))
    t.equal(code, 'ERR_INVALID_ARGUMENT', JSON.stringify(policy))
  }
  const one = subject('2026-11-20T00:00:00Z')
  for (const call of [
    () => planRetention([], { keepLast: 1 }, { timeZone: 'Europe/Atlantis' }),
    () => planRetention([], { keepLast: 1 }, { timeZone: '' }),
    () => planRetention([], { keepLast: 1 }, { now: new Date(Number.NaN) }),
    () => planRetention([subject('yesterday')], { keepLast: 1 }),
    () => planRetention([one, { ...one }], { keepLast: 1 }),
  ])
    t.equal(codeOfCall(call), 'ERR_INVALID_ARGUMENT', call.toString())
})

// --- properties ------------------------------------------------------------------------------------------------

/** Days on which clocks were changed, and days with the ends of weeks, months and years near by. */
const EDGES = [
  '2011-12-30T10:00:00Z',
  '2026-03-08T07:00:00Z',
  '2026-03-29T01:00:00Z',
  '2026-10-25T01:00:00Z',
  '2026-11-01T06:00:00Z',
  '2026-01-01T00:00:00Z',
  '2024-02-29T12:00:00Z',
  '2026-11-23T12:00:00Z',
].map((time) => Date.parse(time))

const moment = fc.oneof(
  fc
    .tuple(fc.constantFrom(...EDGES), fc.integer({ min: -60, max: 60 }))
    .map(([edge, n]) => edge + (n * HOUR) / 2),
  fc.tuple(fc.constantFrom(...EDGES), fc.integer({ min: -40, max: 40 })).map(([edge, n]) => edge + n * DAY),
  fc.integer({ min: Date.parse('2009-01-01'), max: Date.parse('2028-01-01') }),
)

const subjects: fc.Arbitrary<RetentionSubject[]> = fc.uniqueArray(
  fc.record({
    id: fc.integer({ min: 0, max: 99_999 }).map((n) => String(n).padStart(32, '0') as SnapshotId),
    name: fc.constantFrom('a', 'a', 'b'),
    host: fc.constantFrom('x', 'x', 'y'),
    time: moment.map((millis) => new Date(millis).toISOString()),
    tags: fc.constantFrom<string[][]>([], [], [], ['gold'], ['silver', 'gold']),
  }),
  { selector: ({ id }) => id, maxLength: 60 },
)

const count = fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined })
const COUNTS = ['keepLast', 'keepHourly', 'keepDaily', 'keepWeekly', 'keepMonthly', 'keepYearly'] as const
type Counts = Partial<Record<(typeof COUNTS)[number], number>>

interface Rules {
  readonly counts: Counts
  /** Years, months, weeks, days, hours. */
  readonly within: readonly number[] | undefined
  readonly tags: readonly string[]
}

function policyOf({ counts, within, tags }: Rules): RetentionPolicy {
  const given = Object.entries(counts).filter(([, n]) => n !== undefined)
  const [y, m, w, d, h] = within ?? []
  return {
    ...Object.fromEntries(given),
    ...(within === undefined ? {} : { keepWithin: `${y}y${m}m${w}w${d}d${h}h` }),
    ...(tags.length === 0 ? {} : { keepTags: tags }),
  }
}

const rules: fc.Arbitrary<Rules> = fc
  .record({
    counts: fc.record({
      keepLast: count,
      keepHourly: count,
      keepDaily: count,
      keepWeekly: count,
      keepMonthly: count,
      keepYearly: count,
    }) as fc.Arbitrary<Counts>,
    within: fc.option(
      fc
        .tuple(fc.nat(2), fc.nat(14), fc.nat(5), fc.nat(40), fc.nat(60))
        .filter((parts) => parts.some((n) => n > 0)),
      { nil: undefined },
    ),
    tags: fc.constantFrom<string[][]>([], [], ['gold'], ['silver']),
  })
  .filter(
    ({ counts, within, tags }) =>
      COUNTS.some((field) => (counts[field] ?? 0) > 0) || within !== undefined || tags.length > 0,
  )

const zone = fc.constantFrom(...ZONES)
/** The clock of the one who forgets: right, or off. */
const clock = fc.oneof(fc.constant(NOW.getTime()), moment).map((millis) => new Date(millis))

function idsKept(decisions: readonly RetentionDecision<RetentionSubject>[]): string[] {
  return decisions.filter(({ keep }) => keep).map(({ snapshot }) => snapshot.id)
}

function groupOf({ name, host }: RetentionSubject): string {
  return `${name} ${host}`
}

test('the newest of every group stays, and so does the newest that is not of the future', async () => {
  fc.assert(
    fc.property(subjects, rules, zone, clock, (snapshots, given, timeZone, now) => {
      const kept = new Set(idsKept(planRetention(snapshots, policyOf(given), { timeZone, now })))
      for (const group of new Set(snapshots.map(groupOf))) {
        const all = snapshots.filter((snapshot) => groupOf(snapshot) === group)
        for (const some of [all, all.filter(({ time }) => Date.parse(time) <= now.getTime())]) {
          const newest = Math.max(...some.map(({ time }) => Date.parse(time)))
          const candidates = some.filter(({ time }) => Date.parse(time) === newest)
          if (some.length > 0 && !candidates.some(({ id }) => kept.has(id))) return false
        }
      }
      return true
    }),
  )
})

test('the order in which snapshots come does not matter, and all are told of once', async (t) => {
  const shuffled = subjects.chain((snapshots) =>
    fc.tuple(
      fc.constant(snapshots),
      fc.shuffledSubarray(snapshots, { minLength: snapshots.length, maxLength: snapshots.length }),
    ),
  )
  fc.assert(
    fc.property(shuffled, rules, zone, ([snapshots, other], given, timeZone) => {
      const options = { timeZone, now: NOW }
      const decisions = planRetention(snapshots, policyOf(given), options)
      t.same(planRetention(other, policyOf(given), options), decisions)
      t.same(decisions.map(({ snapshot }) => snapshot.id).sort(), snapshots.map(({ id }) => id).sort())
      for (const { keep, reasons } of decisions) t.equal(keep, reasons.length > 0)
    }),
    { numRuns: 50 },
  )
})

test('applied again to what is left, a policy keeps all of it', async () => {
  fc.assert(
    fc.property(subjects, rules, zone, (snapshots, given, timeZone) => {
      const options = { timeZone, now: NOW }
      const kept = planRetention(snapshots, policyOf(given), options).filter(({ keep }) => keep)
      const left = kept.map(({ snapshot }) => snapshot)
      return idsKept(planRetention(left, policyOf(given), options)).length === left.length
    }),
  )
})

test('a policy that is more generous keeps all that a stricter one keeps', async () => {
  const more = fc.record({
    counts: fc.record(Object.fromEntries(COUNTS.map((field) => [field, fc.nat(5)]))) as fc.Arbitrary<Counts>,
    within: fc.tuple(fc.nat(1), fc.nat(3), fc.nat(3), fc.nat(9), fc.nat(30)),
    tags: fc.constantFrom<string[][]>([], ['silver']),
  })
  fc.assert(
    fc.property(subjects, rules, more, zone, (snapshots, given, { counts, within, tags }, timeZone) => {
      const generous: Rules = {
        counts: Object.fromEntries(
          COUNTS.map((field) => [field, (given.counts[field] ?? 0) + counts[field]!]),
        ),
        within: given.within?.map((n, i) => n + within[i]!),
        tags: [...given.tags, ...tags],
      }
      const options = { timeZone, now: NOW }
      const kept = new Set(idsKept(planRetention(snapshots, policyOf(generous), options)))
      return idsKept(planRetention(snapshots, policyOf(given), options)).every((id) => kept.has(id))
    }),
  )
})

test('the newest periods are covered, each by its newest, and told apart as another clock does', async (t) => {
  const rulesOf = {
    daily: ['keepDaily', { year: 'numeric', month: 'numeric', day: 'numeric' }],
    monthly: ['keepMonthly', { year: 'numeric', month: 'numeric' }],
    yearly: ['keepYearly', { year: 'numeric' }],
  } as const
  fc.assert(
    fc.property(
      subjects,
      fc.integer({ min: 1, max: 12 }),
      zone,
      fc.constantFrom('daily', 'monthly', 'yearly'),
      (snapshots, n, timeZone, rule) => {
        const [field, parts] = rulesOf[rule]
        const format = new Intl.DateTimeFormat('en', { timeZone, ...parts })
        const decisions = planRetention(snapshots, { [field]: n }, { timeZone, now: NOW })
        for (const group of new Set(snapshots.map(groupOf))) {
          const past = decisions
            .filter(({ snapshot }) => groupOf(snapshot) === group)
            .filter(({ snapshot }) => Date.parse(snapshot.time) <= NOW.getTime())
          // By period, the newest snapshot; the decisions come oldest first.
          const newest = new Map<string, string>()
          for (const { snapshot } of past.reverse()) {
            const period = format.format(Date.parse(snapshot.time))
            if (!newest.has(period)) newest.set(period, snapshot.id)
          }
          t.same(idsKept(past), [...newest.values()].slice(0, n))
        }
      },
    ),
    { numRuns: 100 },
  )
})

test('local time and back is the same moment, or the first of two', async () => {
  fc.assert(
    fc.property(moment, zone, fc.integer({ min: 1, max: 40 }), (millis, timeZone, days) => {
      const calendar = new ZonedCalendar(timeZone)
      const before = calendar.before(millis, { months: 0, days, hours: 0 })
      // Within an hour of so many times 24 hours, or a day where Samoa lost one.
      const off = millis - days * DAY - before
      const most = timeZone === 'Pacific/Apia' ? 25 * HOUR : HOUR
      return (
        Math.abs(off) <= most &&
        before < millis &&
        calendar.before(millis, { months: 0, days: days + 1, hours: 0 }) <= before
      )
    }),
  )
})
