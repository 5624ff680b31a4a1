import { ABANDONED } from './state-layout.ts'
import type { Step } from './step.ts'
import { newestGeneration } from './store-view.ts'

/**
 * At any moment anybody, such as a repair, may end the newest generation before it has removed anything: by publishing a
 * sweep that removes nothing, without waiting for anyone, and then its end. Where a sweep stands, that one counts.
 */
export function abandonSteps(step: Step): void {
  const { layout, rules, state } = step
  const newest = newestGeneration(layout, state)
  const current = layout.generations[newest - 1]
  if (current === undefined || step.get(current.done) !== 0) return
  const winner = step.get(current.winner)
  if (winner === 0 && rules.abandonBySweep) {
    step.fork()
    step.set(current.winner, ABANDONED)
    step.emit('abandon', 0, newest)
  } else if (winner === ABANDONED || winner === 0 || !rules.abandonAdopts) {
    step.fork()
    step.set(current.done, 1)
    step.emit('abandonDone', 0, newest)
  }
}
