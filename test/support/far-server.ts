import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { startDot } from './dot-server.ts'
import { rightAnswer } from './faults/answers.ts'

/**
 * A DoT resolver as a process of its own, so that it can stand in another network namespace:
 * `far-server.js HOST PORT IDENTITY.json`. Listens when it is told a line, says `ready`, and ends
 * with its standard input. */
const [host = '', port = '', identityFile = ''] = process.argv.slice(2)
const identity = JSON.parse(readFileSync(identityFile, 'utf8')) as { readonly key: string; readonly cert: string }
await once(process.stdin, 'data')
await startDot({ identity, host, port: Number(port), answer: (query) => rightAnswer(query) })
process.stdout.write('ready\n')
process.stdin.on('end', () => process.exit(0))
