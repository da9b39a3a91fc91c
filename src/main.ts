#!/usr/bin/env node
import { Command } from 'commander'
import { VERSION } from './version.ts'

/**
 * What `run` needs, loaded room after room: Node opens every file of a static import graph at once, and with 64 descriptors (a row of the chaos table) a graph
 * of this size does not load. Measured: 40 are enough so; without, 64 were too few.
 */
const RUN_IN_STAGES: readonly (() => Promise<unknown>)[] = [
  () => import('./config/load.ts'),
  () => import('./dns/response.ts'),
  () => import('./link/keeper.ts'),
  () => import('./upstream/selection.ts'),
  () => import('./trusted-resolvers.ts'),
  () => import('./listen/bind.ts'),
  () => import('./posture/monitor.ts'),
  () => import('./resolver.ts'),
  () => import('./workers/crew.ts'),
  () => import('./daemon.ts'),
]

/** Each command is loaded only when it is asked for: `status` must answer fast, and needs none of what `run` needs. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => {
    for (const load of RUN_IN_STAGES) await load()
    return (await import('./commands/run.ts')).runCommand()
  },
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  check: async () => (await import('./commands/check.ts')).checkCommand(),
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand(),
  query: async () => (await import('./commands/query.ts')).queryCommand(),
  audit: async () => (await import('./commands/audit.ts')).auditCommand(),
  trace: async () => (await import('./commands/trace.ts')).traceCommand(),
  forget: async () => (await import('./commands/forget.ts')).forgetCommand(),
  demo: async () => (await import('./commands/demo.ts')).demoCommand(),
}

// `status | head` closes its end early; what could not be written must not look like an answer. Others have something to clean up first.
if (['status', 'check', 'doctor', 'query', 'audit', 'trace'].includes(process.argv[2] ?? '')) {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 3))
}

const program = new Command('enigm-dns')
  .description('An encrypted-DNS stub resolver that says, with evidence, how protected name resolution is right now.')
  .version(VERSION)
  .showHelpAfterError('(enigm-dns COMMAND --help shows examples)')
  .addHelpText('after', '\nExamples:\n  $ enigm-dns run\n  $ enigm-dns status\n  $ enigm-dns query example.com AAAA')

program.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
const asked = COMMANDS[process.argv[2] ?? '']
for (const load of asked === undefined ? Object.values(COMMANDS) : [asked]) {
  program.addCommand((await load()).exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2)))
}
await program.parseAsync()
