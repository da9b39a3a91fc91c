import type { Command, Option } from 'commander'

/** A command of the tree, as pages and completions describe it. */
export interface Described {
  /** Its names from the program's own on. */
  readonly path: readonly string[]
  readonly description: string
  /** What a person wants of it; undefined for commands below a command. */
  readonly group: string | undefined
  /** What follows the names: options and arguments. */
  readonly usage: string
  readonly options: readonly Option[]
  /** The text behind the options in `--help`: exit codes and examples. */
  readonly notes: string
  readonly inner: readonly Described[]
}

/** What pages and completions need of a command and those below it. */
export function describe(command: Command, above: readonly string[] = []): Described {
  const path = [...above, command.name()]
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
    notes: notesOf(command),
    inner: inner.map((one) => describe(one, path)),
  }
}

/** What `addHelpText` added: commander has no other way to it than printing all. */
function notesOf(command: Command): string {
  let printed = ''
  command.configureOutput({ writeOut: (text) => (printed += text) })
  command.outputHelp()
  return printed.slice(command.helpInformation().length).trim()
}
