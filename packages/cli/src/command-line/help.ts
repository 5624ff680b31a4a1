import { columns } from '../format/table.ts'
import { type Command, synopsis } from './command.ts'
import { COMMON_OPTIONS, type OptionTable, optionForm } from './option-spec.ts'

/** What `platter --help` prints. */
export function generalHelp(commands: readonly Command[]): string {
  return [
    'platter keeps disk images in a repository where every distinct piece of data is stored once.',
    '',
    'Usage: platter COMMAND OPERANDS [OPTIONS]',
    '',
    'Commands:',
    indent(columns(commands.map((command) => [command.name, command.summary]))),
    '',
    'Options of every command:',
    indent(optionLines(COMMON_OPTIONS)),
    '',
    'A SNAPSHOT is an id or the first digits of one (four or more), latest, or latest:NAME.',
    'SOURCE and TARGET are a file, a block device, or - for standard input and output.',
    'Exit codes: 0 done, 1 failed, 2 wrong command line, 3 done, but not all is well.',
    '',
    'platter COMMAND --help says more about one command.',
    '',
  ].join('\n')
}

/** What `platter COMMAND --help` prints. */
export function commandHelp(command: Command): string {
  const own = optionLines(command.options)
  return [
    `Usage: ${synopsis(command)} [OPTIONS]`,
    '',
    command.summary,
    ...(command.notes === undefined ? [] : ['', command.notes]),
    ...(own === '' ? [] : ['', 'Options:', indent(own)]),
    '',
    'Options of every command:',
    indent(optionLines(COMMON_OPTIONS)),
    '',
  ].join('\n')
}

function optionLines(table: OptionTable): string {
  return columns(Object.entries(table).map(([name, spec]) => [optionForm(name, spec), spec.help]))
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ')
}
