#!/usr/bin/env node
import { Command } from 'commander'
import { VERSION } from './version.ts'

/** Each command is loaded only when it is asked for: `status` must answer fast, and needs none of what `run` needs. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.ts')).runCommand(),
  status: async () => (await import('./commands/status.ts')).statusCommand(),
  check: async () => (await import('./commands/check.ts')).checkCommand(),
  query: async () => (await import('./commands/query.ts')).queryCommand(),
  demo: async () => (await import('./commands/demo.ts')).demoCommand(),
}

// `status | head` closes its end early; what could not be written must not look like an answer. Others have something to clean up first.
if (['status', 'check', 'query'].includes(process.argv[2] ?? '')) {
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
