import type { Command, Option } from 'commander'

/** A command of the tree, for man pages and completions. */
export interface Described {
  /** Its names, beginning with that of the program. */
  readonly path: readonly string[]
  readonly description: string
  /** Its group in `--help`; undefined for subcommands. */
  readonly group: string | undefined
  /** Its usage after the names: options and arguments. */
  readonly usage: string
  readonly options: readonly Option[]
  /** The text after the options in `--help`: exit codes and examples. */
  readonly notes: string
  readonly inner: readonly Described[]
}

/** The data that pages and completions need about a command and its subcommands. */
export function describe(command: Command, above: readonly string[] = []): Described {
  const path = [...above, command.name()]
  const notes = notesOf(command)
  const inner = command
    .createHelp()
    .visibleCommands(command)
    .filter((one) => one.name() !== 'help')
  return {
    path,
    description: command.description(),
    group: above.length === 1 ? command.helpGroup().replace(/:$/, '') : undefined,
    usage: command.usage(),
    options: command.options.filter(({ hidden }) => !hidden),
    notes,
    // Notes that only repeat the notes of the parent command are dropped.
    inner: inner.map((one) => describe(one, path)).map((one) => (one.notes === notes ? { ...one, notes: '' } : one)),
  }
}

/** The text from `addHelpText`: commander only returns it with the complete help. */
function notesOf(command: Command): string {
  let printed = ''
  command.configureOutput({ writeOut: (text) => (printed += text) })
  command.outputHelp()
  return printed.slice(command.helpInformation().length).trim()
}
