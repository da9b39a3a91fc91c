import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Clock, Random } from '../clock.ts'
import { nameFromText, questionEnd, textFromName } from '../dns/name.ts'
import type { StatusDocument } from '../posture/document.ts'
import { createAuthority } from './authority.ts'
import { type DemoDaemon, startDemoDaemon, Undo } from './demo-daemon.ts'
import { replyTo } from './embedded-resolver.ts'
import { type Relay, startRelay, startTarget, type Target } from './oblivious-pair.ts'
import { ask } from './show.ts'
import { DEMO_ZONE, parseZone, zoneOf } from './zone.ts'

const RELAY_NAME = 'relay.demo.example'
const TARGET_NAME = 'target.demo.example'
/** The relay connects from here, so that the senders differ, where loopback has this address. */
const RELAY_ADDRESS = '127.0.0.2'

/** A daemon, a relay and a target of RFC 9230. */
export interface PathsDemo extends DemoDaemon {
  readonly relay: Relay
  readonly target: Target
  /** Whether the relay has another address than this host. */
  readonly apart: boolean
  /** Stops all parts and removes every file. May be called repeatedly. */
  takeDown(): Promise<void>
}

/** Starts all parts. If one part fails, the earlier ones are stopped. */
export async function startPathsDemo(time: Clock): Promise<PathsDemo> {
  const undo = new Undo()
  try {
    const authority = await createAuthority()
    const zone = zoneOf(parseZone(DEMO_ZONE))
    const target = await startTarget({
      identity: await authority.issue({ name: TARGET_NAME }),
      answer: (query) => replyTo(query, zone),
    })
    undo.add(() => target.close())
    const apart = await isOwnAddress(RELAY_ADDRESS)
    const host = `${TARGET_NAME}:${target.port}`
    const relay = await startRelay({
      identity: await authority.issue({ name: RELAY_NAME }),
      targets: { [host]: { port: target.port, ca: authority.certificate, ...(apart ? { from: RELAY_ADDRESS } : {}) } },
    })
    undo.add(() => relay.close())
    const common = { caFile: 'ca.pem' }
    const set = {
      relays: [
        {
          ...{ id: 'middle', operator: 'Relay Ltd', type: 'odoh', addresses: ['127.0.0.1'], port: relay.port, path: '/proxy' },
          ...{ authenticationDomainName: RELAY_NAME, ...common },
        },
      ],
      resolvers: [
        {
          ...{ id: 'demo', operator: 'Target Ltd', addresses: ['127.0.0.3'], authenticationDomainName: TARGET_NAME, ...common },
          transports: { odoh: { port: target.port, relay: 'middle', config: target.config() } },
        },
      ],
    }
    const config = { transports: ['odoh'], policy: { separation: 'required', diversity: 'operators' } }
    const daemon = await startDemoDaemon({ set, files: { 'ca.pem': authority.certificate }, config }, time, undo)
    return { ...daemon, relay, target, apart, takeDown: () => undo.all() }
  } catch (error) {
    await undo.all()
    throw error
  }
}

async function isOwnAddress(address: string): Promise<boolean> {
  const server = createServer().listen(0, address)
  const own = await once(server, 'listening').then(
    () => true,
    () => false,
  )
  server.close()
  return own
}

const ASKED = { name: 'www.demo.example', type: 'A', expect: '192.0.2.80' } as const

/**
 * Asks once, and prints what each party saw of it, from its own log, side by side; `table` makes
 * the lines of "who can know what". Returns what was wrong; empty means success.
 */
export async function showPaths(
  demo: PathsDemo,
  say: (line: string) => void,
  table: (document: StatusDocument) => readonly string[],
  time: Clock,
  random: Random,
): Promise<readonly string[]> {
  say('enigm-dns demo --paths. All of it on loopback; it protects NOTHING here.')
  say('')
  say(`  a client -> enigm-dns, 127.0.0.1:${demo.port} -> a relay -> a target (RFC 9230)`)
  const answer = await ask(demo.port, 'udp', ASKED.name, ASKED.type, time, random)
  say(`  asked: ${ASKED.name} ${ASKED.type}   answered: ${answer.text}   ${answer.ms.toFixed(0)} ms, handshakes included`)
  const faults = answer.text === ASKED.expect ? [] : [`${ASKED.name} got ${answer.text}`]
  const [relay] = demo.relay.log
  const [target] = demo.target.log
  if (relay === undefined || target === undefined) return [...faults, 'the query did not take the route']
  const name = Buffer.from(nameFromText(ASKED.name))
  const inRelay = relay.body.includes(name.subarray(0, -1)) || relay.body.includes(ASKED.name)
  const seen = textFromName(target.query.subarray(12, questionEnd(target.query) - 4))
  say('')
  say('What each party saw of it, from its own log:')
  for (const [left, right] of [
    ['the relay (Relay Ltd)', 'the target (Target Ltd)'],
    [`from     ${relay.from}, this host`, `from     ${target.from}, the relay`],
    [`to       ${relay.target}`, `name     ${seen} ${ASKED.type}`],
    [`message  ${relay.octets} octets, sealed`, `message  ${target.query.length} octets, opened`],
    [
      `the name in it: ${inRelay ? 'FOUND' : 'not found'}`,
      demo.apart ? `this host: ${target.from === relay.from ? 'SEEN' : 'not seen'}` : '',
    ],
  ])
    say(`  ${(left ?? '').padEnd(37)} | ${right ?? ''}`)
  if (inRelay) faults.push('the relay saw the name')
  if (demo.apart && target.from === relay.from) faults.push('the target saw the address of this host')
  if (seen.replace(/\.$/, '') !== ASKED.name) faults.push(`the target saw ${seen}`)
  return [...faults, ...sayStatus(await demo.status(), say, table)]
}

function sayStatus(
  document: StatusDocument | undefined,
  say: (line: string) => void,
  table: (document: StatusDocument) => readonly string[],
): readonly string[] {
  if (document === undefined) return ['there is no status file']
  say('')
  for (const line of table(document)) say(line)
  say('')
  const separation = separationIn(document)
  say(`The policy requires that nobody knows both: ${separation ?? 'not judged'}. State: ${document.state}`)
  return [
    ...(document.state === 'protected' ? [] : [`the state is ${document.state}`]),
    ...(separation === 'met' ? [] : [`separation is ${separation ?? 'not judged'}`]),
  ]
}

function separationIn({ policy }: StatusDocument): string | undefined {
  return policy === undefined ? undefined : policy.rules.find(({ rule }) => rule === 'separation')?.verdict
}
