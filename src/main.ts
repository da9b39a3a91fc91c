import { Command } from 'commander'
import { VERSION } from './version.ts'

/** Each command is loaded only when it is asked for: `status` must answer fast, and needs none of what `run` needs. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.ts')).runCommand(),
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  check: async () => (await import('./commands/check.ts')).checkCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
  query: async () => (await import('./commands/query.ts')).queryCommand(),
  audit: async () => (await import('./commands/audit.ts')).auditCommand(),
  trace: async () => (await import('./commands/trace.ts')).traceCommand(),
  forget: async () => (await import('./commands/forget.ts')).forgetCommand(),
  stop: async () => (await import('./commands/stop.ts')).stopCommand(),
  reload: async () => (await import('./commands/reload.ts')).reloadCommand(),
  demo: async () => (await import('./commands/demo.ts')).demoCommand(),
}

/** These go on when nobody reads them: names must resolve, what is to be forgotten is forgotten, and a demo has to clean up. */
const UNHEARD: readonly string[] = ['run', 'forget', 'demo', 'stop', 'reload']
// `status | head` closes its end early; what could not be written must not look like an answer.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (UNHEARD.includes(process.argv[2] ?? '')) return
  process.exit(error.code === 'EPIPE' ? process.exitCode : 3)
})
process.stderr.on('error', () => {})

const program = new Command('enigm-dns')
  .description('An encrypted-DNS stub resolver that says, with evidence, how protected name resolution is right now.')
  .version(VERSION)
  .showHelpAfterError('(enigm-dns COMMAND --help shows examples)')
  .addHelpText('after', '\nExamples:\n  $ enigm-dns run\n  $ enigm-dns status\n  $ enigm-dns query example.com AAAA')

void start(process.argv[2] ?? '')

/** Not at the top level: the bundle is CommonJS (src/bundle.mjs). Only the list of commands needs them all. */
async function start(name: string): Promise<void> {
  const asked = COMMANDS[name]
  const wanted = asked !== undefined ? [asked] : name === '--version' || name === '-V' ? [] : Object.values(COMMANDS)
  for (const load of wanted) program.addCommand(await load())
  endUsageErrorsWith2(program)
  await program.parseAsync()
}

/** commander's own code is 1, and a command does not take over what its parent was told. */
function endUsageErrorsWith2(command: Command): void {
  command.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  for (const inner of command.commands) endUsageErrorsWith2(inner)
}
