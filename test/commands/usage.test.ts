// The built commands, told something that they do not know.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { CLI, cli } from '../support/real/daemon.ts'

const COMMANDS = [
  'resolvers list',
  'run',
  'service install',
  'service uninstall',
  'service status',
  'status',
  'check',
  'doctor',
  'query',
  'audit',
  'audit verify',
  'audit head',
  'trace',
  'forget',
  'stop',
  'reload',
  'manual',
  'demo',
]

t.test('unknown arguments exit with 2 for every command, and one line names them', async (t) => {
  const wrong = [
    ['--bogus'],
    ['bogus'],
    ['audit', 'bogus'],
    ['service', 'bogus'],
    ['query'],
    ['query', 'a', 'b', 'c'],
    ['trace', '--for'],
    ['audit', 'verify', '--head', 'x'],
    ...COMMANDS.map((command) => [...command.split(' '), '--bogus']),
    ...COMMANDS.filter((command) => !['query', 'audit'].includes(command)).map((command) => [...command.split(' '), 'too', 'many']),
    ...COMMANDS.filter((command) => !['query', 'audit', 'demo'].includes(command)).map((command) => [...command.split(' '), '--config']),
  ].filter((words) => words.join(' ') !== 'status --config')
  for (const words of wrong) {
    const { code, stdout, stderr } = await cli(...words)
    t.equal(code, 2, words.join(' '))
    t.match(stdout + stderr, /^(error: |--head must)/, words.join(' '))
  }
  for (const command of COMMANDS) t.match(await cli(...command.split(' '), '--help'), { code: 0, stdout: /^Usage: /, stderr: '' })
})

t.test('a word that is no command: that of another command is named, and --help does not make it one', async (t) => {
  const rank = await cli('rank')
  t.equal(rank.code, 2)
  t.match(rank.stderr, /unknown command 'rank'\n\(Did you mean enigm-dns resolvers rank\?\)/)
  const stamp = await cli('stamp', '--help')
  t.equal(stamp.code, 2)
  t.match(stamp.stderr, /unknown command 'stamp'/)
})

t.test('help NAMES is NAMES --help, for subcommands and for unknown names too', async (t) => {
  t.match(await cli('help', 'system', 'enable'), { code: 0, stdout: /^Usage: enigm-dns system enable/ })
  t.match(await cli('help', 'query'), { code: 0, stdout: /^Usage: enigm-dns query/ })
  t.match(await cli('help'), { code: 0, stdout: /^Usage: enigm-dns \[/ })
  t.match(await cli('help', 'bogus'), { code: 2, stderr: /unknown command 'bogus'/ })
})

t.test('options of a verification without --verify are a usage error', async (t) => {
  for (const words of [['--remote'], ['--seen', 'file']])
    t.match(await cli('status', ...words), { code: 2, stderr: /add --verify/ }, words.join(' '))
})

t.test('the help of every command has its exit codes and examples, and that of the program says where', async (t) => {
  for (const command of [...COMMANDS, 'portal', 'system', 'system enable', 'system disable', 'system status', 'service'])
    t.match((await cli(...command.split(' '), '--help')).stdout, /^Exit codes[\s\S]*^Examples:\n {2}\$ /m, command)
  t.match((await cli('help')).stdout, /^Man pages and completions: sudo enigm-dns manual \/usr\/local\/share/m, 'npm links no pages')
  t.match((await cli('--help')).stdout, /^Exit codes \(.*COMMAND --help.*query.*\n[\s\S]*^Examples:\n {2}\$ /m)
})

t.test('the output is not read: no stack trace, and no partial answer', async (t) => {
  for (const words of [
    ['--help'],
    ['--bogus'],
    ['status', '--json', '--file', '/nowhere'],
    ['doctor', '--offline', '--json'],
    ['audit', 'head', '--dir', '/nowhere'],
  ]) {
    const child = spawn(process.execPath, [CLI, ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    child.stderr.destroy()
    const [code] = await once(child, 'exit')
    const { code: read } = await cli(...words)
    t.equal(code, read, words.join(' '))
  }
})
