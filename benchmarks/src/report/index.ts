export { toBarChart } from './bar-chart.ts'
export { toMarkdown } from './markdown.ts'
export type { Results, Row, Run } from './results.ts'
export { writeReport } from './write-report.ts'
