import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { framed } from '../../src/dns/framing.ts'
import { query } from '../../test/support/messages.ts'
import { rssMb } from '../load/process-cost.ts'
import { askerAt, hotName, newName, quantile } from './asker.ts'
import type { Chaos, Row } from './row.ts'
import { hitsBeside } from './run-row.ts'

const fdsOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length

/** TCP connections that exist, whatever becomes of them. */
function dial(port: number, count: number): Socket[] {
  return Array.from({ length: count }, () => connect(port, '127.0.0.1').on('error', () => {}))
}

async function descriptors(c: Chaos): Promise<void> {
  const { asker, daemon } = await c.scene({
    protocols: ['dot'],
    daemon: { under: ['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh'] },
  })
  await asker.firstAnswer(5000)
  const idle = dial(daemon.port, 500)
  await sleep(500)
  c.note(`${fdsOf(daemon.pid)} descriptors open of 64`)
  const told = await asker.traffic({ perS: 100, forMs: c.fast ? 3000 : 8000, hits: 0.5 })
  c.check('answered over UDP', told.filter(({ right }) => right).length / told.length, '>=', 0.99)
  for (const socket of idle) socket.destroy()
  const beganMs = performance.now()
  let recovered = false
  while (!recovered && performance.now() - beganMs < 15_000) {
    const tcp = await Promise.race([askerAt(daemon.port, 'tcp'), sleep(500)]).catch(() => undefined)
    if (tcp === undefined) continue
    recovered = (await Promise.race([tcp.ask(newName()), sleep(1000)]))?.right === true
    tcp.close()
  }
  c.within('answered over TCP after they left', performance.now() - beganMs, 5000)
  c.within('a new upstream connection, and its answer', await asker.firstAnswer(5000), 1000)
}

async function unread(c: Chaos): Promise<void> {
  const scene = await c.scene({ protocols: ['dot'] })
  const { asker, daemon } = scene
  await asker.firstAnswer(5000)
  for (let i = 0; i < 50; i++) await asker.ask(hotName(i))
  await asker.traffic({ perS: 500, forMs: 1500, hits: 0.5 }) // warm: what the first seconds of any load cost is not this fault's
  const before = rssMb(daemon.pid)
  const questions = Buffer.concat(Array.from({ length: 500 }, (_, i) => framed(query({ name: hotName(i % 50), id: i }))))
  const deaf = dial(daemon.port, 20) // each asks 500 and reads nothing
  for (const socket of deaf) socket.pause().write(questions)
  const noisy = dial(daemon.port, 100)
  for (const socket of noisy) socket.write(framed(randomBytes(65_533)))
  const second = askerAt(daemon.port, 'tcp', '127.0.0.2').then(async (tcp) => {
    const told = await tcp.ask(newName('second'))
    tcp.close()
    return told
  })
  const { tookMs, right } = await second
  c.check('a second client answered', Number(right), '>=', 1)
  c.within('after', tookMs, 1000)
  let most = 0
  for (let i = 0; i < 20; i++) {
    most = Math.max(most, rssMb(daemon.pid))
    await sleep(100)
  }
  c.check('RSS, most above before', most - before, '<=', 64, 'MB')
  for (const socket of [...deaf, ...noisy]) socket.destroy()
  const seconds = c.fast ? 3 : 60
  await sleep(seconds * 1000)
  c.check(`RSS above before, ${seconds} s later`, rssMb(daemon.pid) - before, '<=', c.fast ? 64 : 10, 'MB')
}

const CAP = 8 * 2 ** 20

async function uniqueNames(c: Chaos): Promise<void> {
  const scene = await c.scene({ protocols: ['dot'], config: { cache: { maxBytes: CAP } } })
  const { asker, daemon } = scene
  await asker.firstAnswer(5000)
  const perS = c.fast ? 1000 : 2500
  await asker.traffic({ perS, forMs: c.fast ? 2000 : 20_000, hits: 0 }) // until the heap of a process that works has its size
  const before = rssMb(daemon.pid)
  const forMs = c.fast ? 3000 : 120_000
  const { p99Ms, result } = await hitsBeside(scene, asker.traffic({ perS, forMs, hits: 0 }))
  c.note(
    `${result.length} names at ${perS} a second instead of 10 million; the cache holds 8 MiB, which is about ${Math.round(CAP / 300)} answers`,
  )
  c.check('answered', result.filter(({ right }) => right).length / result.length, '>=', 0.999)
  c.check('RSS above what it was when the load had begun', rssMb(daemon.pid) - before, '<=', (CAP / 2 ** 20) * 1.2, 'MB')
  c.within('hits meanwhile, p99 (no less than the delay of the event loop)', p99Ms, 20)
  c.note(
    `p99 of misses ${quantile(
      result.map(({ tookMs }) => tookMs),
      0.99,
    ).toFixed(1)} ms, RSS ${rssMb(daemon.pid).toFixed(0)} MB`,
  )
}

/** Rows about what clients do. */
export const CLIENT_ROWS: readonly Row[] = [
  { name: 'descriptors', fault: '64 file descriptors and 500 idle TCP clients', run: descriptors },
  { name: 'unread-tcp', fault: '10,000 TCP queries never read; 65,533 octets of garbage x100', run: unread },
  { name: 'unique-names', fault: '10 million unique names', slow: true, run: uniqueNames },
]
