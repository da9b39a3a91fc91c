import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import type { Clock, Random } from '../clock.ts'
import { FrameReader, framed } from '../dns/framing.ts'
import { idOf } from '../dns/message.ts'
import { plainAnswer, plainQuery } from '../dns/plain-text.ts'
import type { StatusDocument } from '../posture/document.ts'
import type { DemoSetup } from './demo-setup.ts'
import type { TlsRecord } from './link-tap.ts'

interface DemoQuestion {
  readonly name: string
  readonly type: 'A' | 'TXT'
  readonly over: 'udp' | 'tcp'
  readonly expect: string
  readonly onLink: boolean
  readonly note: string
}

/** The questions and their required results: the demo fails if one of them differs. */
const DEMO_QUESTIONS: readonly DemoQuestion[] = [
  { name: 'www.demo.example', type: 'A', over: 'udp', expect: '192.0.2.80', onLink: true, note: 'asked over DoT' },
  { name: 'www.demo.example', type: 'A', over: 'udp', expect: '192.0.2.80', onLink: false, note: 'from the cache' },
  { name: 'no-such-name.demo.example', type: 'A', over: 'udp', expect: 'NXDOMAIN', onLink: true, note: 'asked over DoT' },
  { name: 'demo.example', type: 'TXT', over: 'tcp', expect: '"hello"', onLink: true, note: 'asked over DoT' },
  { name: 'printer.local', type: 'A', over: 'udp', expect: 'NXDOMAIN', onLink: false, note: 'answered here' },
]

/**
 * Prints the first screen (80 columns, 24 lines) to `say` as the events happen. Returns the results
 * that were wrong; empty means success.
 */
export async function show(demo: DemoSetup, say: (line: string) => void, time: Clock, random: Random): Promise<readonly string[]> {
  const faults: string[] = []
  say('enigm-dns demo. All of it on loopback; it protects NOTHING on this machine yet.')
  say('')
  say(`  a client -> enigm-dns, 127.0.0.1:${demo.port} -> TLS -> an embedded trusted resolver`)
  const first = await ask(demo.port, 'udp', 'mail.demo.example', 'A', time, random)
  say(`  A first question had the link dialled and the resolver authenticated: ${first.ms.toFixed(0)} ms.`)
  say('  asked                        over  answer          ms  what happened')
  const perAct: TlsRecord[][] = []
  for (const act of DEMO_QUESTIONS) {
    const seenBefore = demo.tap.records.length
    const heard = await ask(demo.port, act.over, act.name, act.type, time, random)
    const records = demo.tap.records.slice(seenBefore).filter((r) => r.applicationData)
    perAct.push(records)
    if (heard.text !== act.expect) faults.push(`${act.name} ${act.type} got ${heard.text}`)
    if (records.length > 0 !== act.onLink) faults.push(`${act.name} ${act.type}: ${records.length} records on the link`)
    const question = `${act.name} ${act.type}`.padEnd(29)
    say(`  ${question}${act.over.toUpperCase()}   ${heard.text.padEnd(11)} ${heard.ms.toFixed(1).padStart(6)}  ${act.note}`)
  }
  say('')
  say('What an observer of the link saw of these five: encrypted records, in octets')
  say(`  ${perAct.map((records) => (records.length === 0 ? '(nothing)' : records.map(sizeAndWay).join(' '))).join(' | ')}`)
  say('  Names of 12 to 25 letters, one size out, one size in: padding hides it.')
  faults.push(...sayStatus(await demo.status(), say))
  return faults
}

function sizeAndWay(record: TlsRecord): string {
  return `${record.direction} ${record.octets}`
}

function sayStatus(document: StatusDocument | undefined, say: (line: string) => void): string[] {
  if (document === undefined) return ['there is no status file']
  const cleartext = Object.values(document.plaintext).reduce((sum, count) => sum + count, 0)
  const [resolver] = document.resolvers
  const how =
    resolver === undefined
      ? ''
      : `${resolver.transport ?? '?'}, ${resolver.tlsVersion ?? '?'}, authenticated by ${resolver.authenticated ?? 'nothing'}`
  say(`Cleartext DNS packets that left this host: ${cleartext}`)
  say(`State, from the status file: ${document.state} (${how})`)
  say('')
  return [
    ...(cleartext === 0 ? [] : [`${cleartext} cleartext packets`]),
    ...(document.state === 'protected' ? [] : [`the state is ${document.state}`]),
  ]
}

/** Prints what a person can try while the demo runs. */
export function sayNext(demo: DemoSetup, say: (line: string) => void): void {
  say('Next, in another terminal:')
  say(`  dig @127.0.0.1 -p ${demo.port} www.demo.example`)
  say(`  node dist/main.js status --file ${demo.statusFile}`)
  say('For real use: README.md, "Use it", and docs/system.md.')
}

const GIVE_UP_MS = 6000

interface TimedReply {
  readonly reply: Uint8Array
  readonly ms: number
}

/**
 * The answer that a client got, and how long it waited after sending its question. `text` is the
 * data of the last record of the requested type, or else the name of the RCODE.
 */
export interface DemoAnswer {
  readonly text: string
  readonly ms: number
}

/**
 * Asks 127.0.0.1:`port` as any program would: one plain query, one socket. Rejects if no reply
 * comes within six seconds.
 */
export async function ask(
  port: number,
  over: 'udp' | 'tcp',
  name: string,
  type: 'A' | 'TXT',
  time: Clock,
  random: Random,
): Promise<DemoAnswer> {
  const query = plainQuery(name, type, random.below(65536))
  const { reply, ms } = await (over === 'udp' ? overUdp(port, query, time) : overTcp(port, query, time))
  return { text: plainAnswer(reply, type), ms }
}

function overUdp(port: number, query: Uint8Array, time: Clock): Promise<TimedReply> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    const timer = time.setTimer(GIVE_UP_MS, () => settle(() => reject(new Error('no reply over UDP'))))
    const settle = (how: () => void) => {
      timer.cancel()
      socket.close()
      how()
    }
    socket.on('error', (error) => settle(() => reject(error)))
    let sentMs = time.nowMs()
    socket.on('message', (reply) => idOf(reply) === idOf(query) && settle(() => resolve({ reply, ms: time.nowMs() - sentMs })))
    socket.once('connect', () => {
      sentMs = time.nowMs()
      socket.send(query)
    })
    // Without a callback, which would get a failure instead of 'error'.
    socket.connect(port, '127.0.0.1')
  })
}

function overTcp(port: number, query: Uint8Array, time: Clock): Promise<TimedReply> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    const reader = new FrameReader()
    const settle = (how: () => void) => {
      timer.cancel()
      socket.destroy()
      how()
    }
    const timer = time.setTimer(GIVE_UP_MS, () => settle(() => reject(new Error('no reply over TCP'))))
    let sentMs = time.nowMs()
    socket.on('connect', () => {
      sentMs = time.nowMs()
      socket.write(framed(query))
    })
    socket.on('error', (error) => settle(() => reject(error)))
    socket.on('data', (chunk) =>
      reader.push(chunk, (reply) => settle(() => resolve({ reply: Uint8Array.from(reply), ms: time.nowMs() - sentMs }))),
    )
  })
}
