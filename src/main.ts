import { Command } from 'commander'
import { keepAlive } from './clock.ts'
import { EXIT } from './exit-codes.ts'
import { VERSION } from './version.ts'

/**
 * The purposes of the commands below; `--help` shows the groups that have commands, in this order.
 */
const GROUPS = {
  protect: 'Protect this machine:',
  look: 'Look at it:',
  repair: 'Repair what is wrong:',
  rules: 'Rules:',
  resolvers: 'Resolvers:',
} as const

interface CommandEntry {
  readonly group: keyof typeof GROUPS
  /** Not in any list: a word that people try as a command. */
  readonly hidden?: true
  /**
   * Each command is loaded only when it is used: `status` must answer fast, and needs nothing of
   * what `run` needs.
   */
  readonly load: () => Promise<Command>
}

/** In the order of `--help` within a group. */
const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  run: { group: 'protect', load: async () => (await import('./commands/run.ts')).runCommand() },
  service: { group: 'protect', load: async () => (await import('./commands/install-service.ts')).serviceCommand() },
  reload: { group: 'protect', load: async () => (await import('./commands/reload.ts')).reloadCommand() },
  stop: { group: 'protect', load: async () => (await import('./commands/stop.ts')).stopCommand() },
  forget: { group: 'protect', load: async () => (await import('./commands/forget.ts')).forgetCommand() },
  system: { group: 'protect', load: async () => (await import('./commands/system.ts')).systemCommand() },
  status: { group: 'look', load: async () => (await import('./commands/status.ts')).statusCommand() },
  query: { group: 'look', load: async () => (await import('./commands/query.ts')).queryCommand() },
  explain: { group: 'look', load: async () => (await import('./commands/explain.ts')).explainCommand() },
  trace: { group: 'look', load: async () => (await import('./commands/trace.ts')).traceCommand() },
  demo: { group: 'look', load: async () => (await import('./commands/demo.ts')).demoCommand() },
  doctor: { group: 'repair', load: async () => (await import('./commands/doctor.ts')).doctorCommand() },
  portal: { group: 'repair', load: async () => (await import('./commands/portal.ts')).portalCommand() },
  check: { group: 'repair', load: async () => (await import('./commands/check.ts')).checkCommand() },
  manual: { group: 'repair', load: async () => (await import('./commands/manual.ts')).manualCommand(() => programWith(inGroups())) },
  import: { group: 'rules', load: async () => (await import('./commands/import.ts')).importCommand() },
  pause: { group: 'rules', load: async () => (await import('./commands/pause.ts')).pauseCommand() },
  audit: { group: 'rules', load: async () => (await import('./commands/audit.ts')).auditCommand() },
  resolvers: { group: 'resolvers', load: async () => (await import('./commands/resolvers.ts')).resolversCommand() },
  start: { group: 'protect', hidden: true, load: async () => (await import('./commands/guides.ts')).guideCommand('start') },
  restart: { group: 'protect', hidden: true, load: async () => (await import('./commands/guides.ts')).guideCommand('restart') },
  logs: { group: 'look', hidden: true, load: async () => (await import('./commands/guides.ts')).guideCommand('logs') },
}

/**
 * These continue without a reader: names must resolve, `forget` must finish, and a demo must clean
 * up.
 */
const RUN_WITHOUT_READER: readonly string[] = ['run', 'forget', 'demo', 'stop', 'reload', 'service', 'system']
// `status | head` closes its end early; output that could not be written must not look like an
// answer.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (RUN_WITHOUT_READER.includes(process.argv[2] ?? '')) return
  process.exit(error.code === 'EPIPE' ? process.exitCode : EXIT.cannotTell)
})
process.stderr.on('error', () => {})

void start(process.argv[2] ?? '')

/**
 * Not at the top level: the bundle is CommonJS (src/bundle.mjs). Only the list of commands needs
 * all of them.
 */
async function start(name: string): Promise<void> {
  if (name === 'help' && process.argv[3] !== undefined) {
    // `help system enable` is `system enable --help`: commander's own command knows one word only.
    const words = process.argv.slice(3)
    process.argv.splice(2, process.argv.length, ...words, ...(Object.hasOwn(COMMANDS, words[0] ?? '') ? ['--help'] : []))
    return start(process.argv[2] ?? '')
  }
  if (name === '') {
    process.exitCode = (await import('./commands/overview.ts')).overview()
    return
  }
  const asked = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  const program = await programWith(asked !== undefined ? [asked] : name === '--version' || name === '-V' ? [] : inGroups())
  endUsageErrorsWith2(program)
  if (asked === undefined && name !== 'help' && !name.startsWith('-')) elsewhere(program, name)
  // Without this a command that waits for a datagram would end with code 0 and without output.
  await program.parseAsync().finally(keepAlive())
}

/**
 * For a word that is no command: names the command that has it as a second word. Its `--help` would
 * be that of the program, with exit code 0.
 */
function elsewhere(program: Command, word: string): void {
  const owner = program.commands.find(({ commands }) => commands.some((inner) => inner.name() === word))
  if (owner !== undefined)
    program.error(`error: unknown command '${word}'\n(Did you mean enigm-dns ${owner.name()} ${word}?)`, { exitCode: EXIT.usage })
  process.argv.splice(2, process.argv.length, word)
}

async function programWith(entries: readonly CommandEntry[]): Promise<Command> {
  const program = new Command('enigm-dns')
    .description('An encrypted-DNS stub resolver that shows, with evidence, how well name resolution is protected now.')
    .version(VERSION)
    .showHelpAfterError('(enigm-dns COMMAND --help shows examples)')
    .addHelpText(
      'after',
      `
Exit codes (COMMAND --help lists those of a command; status, doctor and query also have codes of their own):
  0  good    1  not as wished    2  usage or configuration    3  cannot tell    4  a proof failed

Examples:
  $ enigm-dns run
  $ enigm-dns status
  $ enigm-dns query example.com AAAA

Man pages and completions: sudo enigm-dns manual /usr/local/share, then man enigm-dns`,
    )
  for (const { group, hidden, load } of entries) program.addCommand((await load()).helpGroup(GROUPS[group]), { hidden: hidden === true })
  return program
}

function inGroups(): readonly CommandEntry[] {
  const order = Object.keys(GROUPS)
  return Object.values(COMMANDS).toSorted((a, b) => order.indexOf(a.group) - order.indexOf(b.group))
}

/** commander's own code is 1, and a command does not inherit this setting from its parent. */
function endUsageErrorsWith2(command: Command): void {
  command.exitOverride(({ exitCode }) => process.exit(exitCode === EXIT.good ? EXIT.good : EXIT.usage))
  for (const inner of command.commands) endUsageErrorsWith2(inner)
}
