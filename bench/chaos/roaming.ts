// Run in a network namespace of its own (`unshare -n`): the daemon here, the fault server in
// another one behind a pair of virtual interfaces, so that the address of this end can change as it
// does when a laptop roams. Prints one line of JSON: the times to the first right answer, ms.
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startDaemon } from '../../test/support/real/daemon.ts'
import { askerAt } from './asker.ts'

const SERVER = '10.77.0.1'
/** Between two changes: a network that changes all the time is told of less often. */
const CALM_MS = 5500
const rounds = Number(process.argv[2] ?? 5)
const ip = (...args: readonly string[]) => execFileSync('ip', args, { stdio: 'pipe' })

ip('link', 'set', 'lo', 'up')
const faults = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'test', 'support', 'faults', 'main.js')
const server = spawn(
  'unshare',
  ['-n', 'sh', '-c', 'read go; exec "$@"', 'sh', process.execPath, faults, '--over', 'dot', '--rtt', '10', '--host', SERVER],
  {
    stdio: ['pipe', 'pipe', 'inherit'],
  },
)
process.on('exit', () => server.kill('SIGKILL'))
let said = ''
server.stdout.on('data', (chunk: Buffer) => {
  said += chunk.toString()
})
await sleep(300) // until unshare has done its work: there is nothing to see it by
const inside = (...args: readonly string[]) => execFileSync('nsenter', ['-t', String(server.pid), '-n', 'ip', ...args], { stdio: 'pipe' })
ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far')
ip('link', 'set', 'far', 'netns', String(server.pid))
inside('link', 'set', 'lo', 'up')
inside('addr', 'add', `${SERVER}/16`, 'dev', 'far')
inside('link', 'set', 'far', 'up')
let last = 2
const come = () => {
  ip('addr', 'add', `10.77.1.${last}/16`, 'dev', 'near')
  ip('link', 'set', 'near', 'up')
  ip('route', 'replace', 'default', 'via', SERVER)
}
come()
server.stdin.write('go\n')
for (let waited = 0; !said.includes('scenario ') && waited < 10_000; waited += 20) await sleep(20)
const file = /^resolvers (.+)$/m.exec(said)?.[1] ?? ''
const { resolvers } = JSON.parse(readFileSync(file, 'utf8')) as { readonly resolvers: readonly object[] }
const port = Number(/^fault1 dot .+:(\d+)$/m.exec(said)?.[1])
const daemon = await startDaemon({ resolvers, ca: readFileSync(join(dirname(file), 'ca.pem'), 'utf8') })
const asker = await askerAt(daemon.port)
await asker.firstAnswer(10_000)

const address: number[] = []
const route: number[] = []
for (let i = 0; i < rounds; i++) {
  await sleep(CALM_MS)
  await asker.firstAnswer(10_000)
  ip('addr', 'del', `10.77.1.${last}/16`, 'dev', 'near')
  last++
  come()
  address.push(await recovery())
  await sleep(CALM_MS)
  ip('link', 'set', 'near', 'down')
  await sleep(500)
  ip('addr', 'flush', 'dev', 'near')
  last++
  come()
  route.push(await recovery())
}

/**
 * From when the new path carries (the kernel may take a second until it does) to the first right
 * answer.
 */
async function recovery(): Promise<number> {
  const [usableMs, answeredMs] = await Promise.all([usable(), asker.firstAnswer(20_000).catch(() => 20_000)])
  return Math.max(0, answeredMs - usableMs)
}

/** Until a TCP connection to the server comes up, tried every 20 ms, ms. */
async function usable(): Promise<number> {
  const beganMs = performance.now()
  let up: number | undefined
  const sockets: Socket[] = []
  for (; up === undefined && performance.now() - beganMs < 20_000; await sleep(20)) {
    const socket = connect(port, SERVER, () => {
      up ??= performance.now() - beganMs
    })
    sockets.push(socket.on('error', () => {}))
  }
  for (const socket of sockets) socket.destroy()
  return up ?? 20_000
}

console.log(JSON.stringify({ address, route }))
asker.close()
await daemon.stop()
process.exit(0)
