// What people write: durations, retention policies, parts of a check, command lines.
import { PlatterError } from '@platter/core'
import { planRetention, type RetentionPolicy } from '@platter/repo'
import { choosePacks } from '../../../dist/check/choose-packs.js'
import { checkPolicy } from '../../../dist/retention/check-policy.js'
import { parseDuration } from '../../../dist/retention/retention-duration.js'
import { type FuzzTarget, sound } from '../target.ts'
import { hexOf, SESSION, textOf, textSeeds } from './fixtures.ts'

const duration: FuzzTarget = {
  name: 'retention-duration',
  form: 'text',
  seeds: textSeeds('30d', '1y6m', '2w12h', '99999y99999m99999w99999d99999h'),
  codes: ['ERR_INVALID_ARGUMENT'],
  run(input) {
    const { months, days, hours } = parseDuration(textOf(input))
    const parts = [months, days, hours]
    sound(
      parts.every((part) => Number.isSafeInteger(part) && part >= 0),
      'a duration is none',
    )
    sound(months + days + hours > 0, 'a duration is nothing')
  },
}

const SUBJECTS = Array.from({ length: 12 }, (_, i) => ({
  id: hexOf(`snapshot ${i}`, 16) as typeof SESSION,
  name: i % 3 === 0 ? 'other' : 'disk',
  host: 'host',
  time: new Date(Date.UTC(2026, 1 + (i % 9), 1 + 2 * i, i)).toISOString(),
  tags: i % 4 === 0 ? ['keep'] : [],
}))

/** Input: a policy and a time zone as JSON, and behind a line end the time of one more snapshot. */
const policy: FuzzTarget = {
  name: 'retention-policy',
  form: 'text',
  seeds: textSeeds(
    '[{"keepLast":3,"keepDaily":7,"keepTags":["keep"]},"Europe/Berlin"]\n2026-11-25T07:00:00.000Z',
    '[{"keepWithin":"1y6m","keepHourly":24},"UTC"]\n+275760-09-13T00:00:00.000Z',
    '[{"keepWeekly":1,"keepMonthly":2,"keepYearly":3}]\n-271821-04-20T00:00:00.000Z',
    '[{"keepWithin":"99999y"},"America/St_Johns"]\n0001-01-01T00:00:00.000Z',
  ),
  codes: ['ERR_INVALID_ARGUMENT'],
  run(input) {
    const [text = '', time = ''] = textOf(input).split('\n')
    const [rules, timeZone] = jsonOf(text)
    checkPolicy(rules as RetentionPolicy)
    const subjects = [...SUBJECTS, { ...SUBJECTS[1]!, id: SESSION, time }]
    const options = { now: NOW, ...(timeZone === undefined ? {} : { timeZone: timeZone as string }) }
    const decisions = planRetention(subjects, rules as RetentionPolicy, options)
    sound(decisions.length === subjects.length, 'a snapshot is left out')
    for (const name of ['disk', 'other'])
      sound(
        decisions.some(({ snapshot, keep }) => keep && snapshot.name === name),
        'nothing is kept of an image',
      )
  },
}

const NOW = new Date('2026-12-01T00:00:00Z')

function jsonOf(text: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(text)
    if (Array.isArray(value)) return value
  } catch {
    // Whoever has no policy need not ask.
  }
  throw new PlatterError('ERR_INVALID_ARGUMENT', 'Not JSON.')
}

const readData: FuzzTarget = {
  name: 'check-part',
  form: 'text',
  seeds: textSeeds('2/7', '1/1000000', '0.05', '1', '-0'),
  codes: ['ERR_INVALID_ARGUMENT'],
  run(input) {
    const [first = '', second] = textOf(input).split('/')
    const option =
      second === undefined ? { fraction: Number(first) } : { part: Number(first), of: Number(second) }
    const isChosen = choosePacks(option)
    const chosen = PACKS.filter((id) => isChosen?.(id) ?? false).length
    if (second !== undefined && Number(second) === 1) sound(chosen === PACKS.length, 'a pack is in no part')
  },
}

const PACKS = Array.from(
  { length: 10 },
  (_, i) => hexOf(`pack ${i}`, 32) as Parameters<NonNullable<ReturnType<typeof choosePacks>>>[0],
)

export const SETTING_TARGETS: readonly FuzzTarget[] = [duration, policy, readData]
