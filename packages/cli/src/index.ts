export { ExitCode } from './exit-code.ts'
export { type CommandIo, Interruption, StreamOutput, type TextOutput } from './io.ts'
export { main } from './main.ts'
