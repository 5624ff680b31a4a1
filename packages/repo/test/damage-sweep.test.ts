// A small repository with an object of every kind: what is altered is found, and never restored as if all were well.
import { test } from 'tap'
import { objectNames } from './adversity.ts'
import { runSweep } from './damage-sweep/sweep.ts'
import { makeVictim } from './damage-sweep/victim.ts'

const IS_LONG = process.env.PLATTER_LONG_TESTS === '1'
/**
 * One alteration in so many. Prime to 8, so that every place within a byte comes up. Encrypted objects are filled up to
 * several times their length.
 */
const strideOf = (isEncrypted: boolean): number => (IS_LONG ? 1 : isEncrypted ? 401 : 149)

/**
 * Objects whose absence nothing in the repository tells of: no other object names them, or what does may be ahead of
 * them. docs/reliability.md says what comes of it.
 */
const UNTOLD = /^(snapshots|forget|sessions|damage|keys|key-removals)\/|^gc\/2\.done$|^(packs|index)\//

test('the victim has an object of every kind', async (t) => {
  for (const isEncrypted of [true, false]) {
    const { store, unchecked } = await makeVictim(isEncrypted)
    const names = await objectNames(store)
    const kinds = [
      'config',
      'damage',
      'forget',
      'gc',
      'index',
      'packs',
      'quarantine',
      'sessions',
      'snapshots',
    ]
    if (isEncrypted) kinds.push('keys', 'key-removals')
    t.same([...new Set(names.map((name) => name.split('/')[0]))].sort(), kinds.sort())
    t.same(
      names.filter((name) => name.startsWith('gc/')),
      ['gc/1.done', 'gc/1.mark', 'gc/1.sweep', 'gc/2.done', 'gc/2.mark', 'gc/2.sweep'],
    )
    t.equal(unchecked.length, 2)
  }
})

for (const isEncrypted of [true, false]) {
  test(`every bit, length and exchange, ${isEncrypted ? 'encrypted' : 'not encrypted'}`, {
    timeout: IS_LONG ? 20_000_000 : 300_000,
  }, async (t) => {
    const { tried, wrong } = await runSweep({
      isEncrypted,
      stride: strideOf(isEncrypted),
      onProblem: (what, problem) => t.fail(`${what}: ${problem}`),
      onUnseen: (kind, object) => {
        if (kind !== 'gone' || !UNTOLD.test(object)) t.fail(`${kind} of ${object} was not found`)
      },
    })
    t.equal(wrong, 0)
    t.ok(
      Object.values(tried).every((count) => count > 0),
      JSON.stringify(tried),
    )
  })
}
