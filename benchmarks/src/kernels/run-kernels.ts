import { Bench } from 'tinybench'
import { kernelTasks } from './kernel-tasks.ts'

/** Measures the parts of platter one by one, on one core, and returns a Markdown table. */
export async function runKernels(): Promise<string> {
  const bench = new Bench({ time: 1000 })
  const tasks = kernelTasks()
  for (const task of tasks) bench.add(task.name, task.run)
  await bench.run()
  const lines = tasks.map(({ name, bytes }) => {
    const result = bench.getTask(name)?.result
    if (result?.state !== 'completed') throw new Error(`${name} could not be measured.`, { cause: result })
    const { p50, p75, min } = result.latency
    return `| ${name} | ${speed(bytes, p50)} | ${speed(bytes, p75)} | ${speed(bytes, min)} |`
  })
  return ['| part | median, GB/s | slow quarter | fastest |', '| --- | --: | --: | --: |', ...lines].join(
    '\n',
  )
}

function speed(bytes: number, milliseconds: number): string {
  return (bytes / 1e6 / milliseconds).toFixed(2)
}
