// What watches and tells, joined as in the daemon, on a clock of the test and with a host that it
// makes up.
import { spawn } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemRandom } from '../src/clock.ts'
import { loadConfig } from '../src/config/load.ts'
import type { Event } from '../src/events.ts'
import { gatherEvidence } from '../src/evidence.ts'
import { SelfCanary } from '../src/local-names/self-canary.ts'
import { sampleEachMinute } from '../src/page/sample.ts'
import { PolicyGate } from '../src/policy/gate.ts'
import type { StatusDocument } from '../src/posture/document.ts'
import { PROOF_OLD_MS } from '../src/posture/verdict.ts'
import { bootId, startTimeOf } from '../src/system/process-identity.ts'
import { FakeClock } from './support/fake-clock.ts'

const PROTECTION = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', resumed: false } as const
const answered = {
  type: 'upstream.answered',
  resolver: 'one',
  transport: 'dot',
  rttMs: 5,
  protection: PROTECTION,
  paddedReply: true,
} as const
const failed = { type: 'upstream.failed', resolver: 'one', transport: 'dot', code: 'deadline' } as const

/** Evidence of one resolver under a policy; `gateMoved` is what the daemon does then. */
async function house(
  t: Test,
  o: { policy?: object; starts?: object; usesUs?: Promise<void>; gateMoved?: (closed: boolean, emit: (event: Event) => void) => void } = {},
) {
  const dir = t.testdir({ run: {}, state: {} })
  const write = (name: string, value: object) => writeFileSync(join(dir, name), JSON.stringify(value), { mode: 0o600 })
  const one = { id: 'one', authenticationDomainName: 'one.test', addresses: ['192.0.2.1'], transports: { dot: { port: 853 } } }
  write('resolvers.json', { version: 1, resolvers: [one] })
  write('config.json', {
    ...{ resolvers: 'resolvers.json', statusFile: 'run/status.json', stateDir: 'state', policy: o.policy ?? { audit: 'on' } },
    ...{ shaping: { profile: 'off' }, transports: ['dot'] },
  })
  if (o.starts !== undefined) write('state/starts.json', o.starts)
  const clock = new FakeClock()
  const log: string[] = []
  const seen = { vpn: true, usesUs: o.usesUs !== undefined, asked: o.usesUs ?? Promise.resolve() }
  class Canary extends SelfCanary {
    override get arrived() {
      return seen.usesUs
    }
  }
  const evidence = gatherEvidence({
    ...{ loaded: await loadConfig(join(dir, 'config.json')), clock, random: systemRandom, version: 'x', warn() {}, onHeartbeat() {} },
    ...{ gate: new PolicyGate(), canary: new Canary() },
    log: ({ type }) => void log.push(type),
    onGateMoved: (closed) => o.gateMoved?.(closed, evidence.emit),
    counts: () => ({ entries: 0, bytes: 0, maxBytes: 1, hits: 0, misses: 0 }),
    system: {
      egress: async () => ({ vpn: seen.vpn ? 1 : 0, other: seen.vpn ? 0 : 1, unknown: 0, unreachable: 0 }),
      network: () => ({ known: true, id: 'n', matches: ({ gateway }) => gateway === '10.0.0.1' }),
      resolver: () => ({ asks: 'us', by: 'resolv.conf', stays: seen.usesUs }),
      ask: () => seen.asked,
      bypass: async () => ({ flows: 0, through: ['sockets'] }),
    },
  })
  await evidence.start([])
  t.teardown(() => evidence.stop())
  const status = (): StatusDocument => JSON.parse(readFileSync(join(dir, 'run', 'status.json'), 'utf8'))
  const audit = () => readFileSync(join(dir, 'state', 'audit.jsonl'), 'utf8')
  return { evidence, clock, log, seen, status, audit, dir }
}

t.test('reading the status changes nothing: no audit entry, no age, no date', async (t) => {
  const { evidence, clock, audit, status } = await house(t)
  evidence.emit(answered)
  evidence.emit({ type: 'fault', where: 'x' })
  await clock.advance(PROOF_OLD_MS - 1000)
  t.equal(status().signals.service.state, 'warn')
  clock.stopFor(1500)
  const before = audit()
  const first = evidence.document()
  t.equal(first.signals.service.state, 'ok', 'the fault is old now: the document of this moment says so')
  evidence.document()
  t.equal(audit(), before, 'a poll is no judgement')
  await clock.advance(10_000)
  t.not(audit(), before, 'the next heartbeat is one')
  t.match(audit().slice(before.length), /"of":"service","from":"warn","to":"ok"/)
})

t.test('an audit log that was removed is noticed at the next heartbeat: the new log, and then the status, have the gap', async (t) => {
  const { evidence, clock, status, audit, dir } = await house(t, { policy: { audit: 'required' } })
  evidence.emit(answered)
  await clock.advance(10_000)
  const entries = audit().trim().split('\n').length
  t.ok(entries > 1)
  rmSync(join(dir, 'state'), { recursive: true })
  await clock.advance(10_000)
  t.match(audit(), /^\{"n":1,.*"what":"gap"/)
  await clock.advance(10_000)
  t.match(status().audit, { state: 'writing', lost: entries })
  t.ok(status().signals.service.reasons.some(({ code }) => code === 'audit-gap'))
  t.match(JSON.parse(audit().split('\n')[0] ?? ''), { n: 1, what: 'gap', detail: { lost: entries } })
})

t.test('a start is refused if another process came first in the directory of the audit log', async (t) => {
  const other = spawn('sleep', ['60'])
  t.teardown(() => other.kill())
  const pid = other.pid ?? 0
  const starts = { bootId: bootId(), starts: 1, clean: false, pid, processStart: startTimeOf(pid) }
  const said = new RegExp(`process ${pid} also keeps its state in .* give this service its own stateDir`)
  await t.rejects(house(t, { starts, policy: { audit: 'required' } }), { code: 'config', message: said })
  await house(t, { starts, policy: { audit: 'off' } })
})

t.test('a command that changed the DNS of the system finds its effect in the status file at once', async (t) => {
  const { evidence, status, seen } = await house(t)
  const codes = () => status().signals.protectedNetwork.reasons.map(({ code }) => code)
  t.ok(codes().includes('system-unknown'), 'the first status: nothing is proven yet')
  seen.usesUs = true
  await evidence.proveSystem()
  t.ok(codes().includes('system-asks-us'))
  t.notOk(codes().includes('system-unknown'))
})

t.test('the proof that the system uses the service is in the file when it comes, and not at the next heartbeat', async (t) => {
  let answered = () => {}
  const { status } = await house(t, { usesUs: new Promise((resolve) => (answered = resolve)) })
  const codes = () => status().signals.protectedNetwork.reasons.map(({ code }) => code)
  t.ok(codes().includes('system-unknown'), 'the start does not wait for it')
  answered()
  await new Promise(setImmediate)
  t.ok(codes().includes('system-asks-us'))
})

t.test('two samplers do not take counts from each other', async (t) => {
  const { evidence, clock, seen } = await house(t, { policy: { vpn: 'preferred', systemResolver: 'required', minimumOperators: 1 } })
  seen.vpn = true
  const samplers = [1, 2].map(() => sampleEachMinute({ ...evidence, clock }))
  evidence.emit(failed)
  await clock.advance(60_000)
  evidence.emit(answered)
  evidence.emit(failed)
  evidence.emit(answered)
  await clock.advance(60_000)
  for (const sampler of samplers) {
    t.same(
      sampler.minutes().map(({ violations }) => violations),
      [['rule-operator-count'], ['rule-operator-count']],
    )
    sampler.stop()
  }
})

t.test('an event emitted during another one comes after it, in order, and is written when the outer call returns', async (t) => {
  const told: string[] = []
  const { evidence, clock, log, seen, status } = await house(t, {
    policy: { vpn: 'required' },
    gateMoved(closed, emit) {
      if (!closed) return
      // What closed connections report.
      for (const type of ['link.down', 'upstream.failed'] as const)
        emit({ type, resolver: 'one', transport: 'dot', code: 'connection-lost' })
      told.push(status().state)
    },
  })
  evidence.emit(answered)
  await clock.advance(0)
  t.equal(status().state, 'protected')
  log.length = 0
  seen.vpn = false
  evidence.emit({ type: 'seen.vpn', vpn: 0, other: 1, unknown: 0, unreachable: 0 })
  t.same(log, ['seen.vpn', 'link.down', 'upstream.failed'], 'the log tells what led to what')
  t.same(told, ['offline'], 'what a closed gate does to others begins when the status says so')
  t.match(status().resolvers[0]?.failures, { 'connection-lost': 2 })
})

t.test('early observations on another network are not forgotten with the last one', async (t) => {
  const { evidence } = await house(t, { policy: { networks: [{ name: 'cafe', match: { gateway: '10.0.0.1' } }] } })
  t.equal(evidence.document().policy?.network, 'cafe')
  evidence.emit({ type: 'network.changed', online: true })
  await new Promise(setImmediate)
  t.equal(evidence.document().policy?.network, 'cafe', 'it was looked, and this is the one')
})

t.test('a burst of nested events is handled in order, at any depth', async (t) => {
  let depth = 0
  const { evidence, log } = await house(t, {
    policy: { vpn: 'required' },
    gateMoved(_closed, emit) {
      if (depth++ > 3) return
      emit({ type: 'seen.vpn', vpn: depth % 2, other: 1 - (depth % 2), unknown: 0, unreachable: 0 })
      emit({ type: 'clock.moved', byMs: depth })
    },
  })
  log.length = 0
  depth = 0
  evidence.emit({ type: 'seen.vpn', vpn: 0, other: 1, unknown: 0, unreachable: 0 })
  t.same(log, ['seen.vpn', ...Array.from({ length: 4 }, () => ['seen.vpn', 'clock.moved']).flat()].slice(0, log.length))
  t.ok(log.length >= 7, log.join(' '))
})

t.test('the log gets every event, also an answer equal to the last one', async (t) => {
  const { evidence, log } = await house(t)
  log.length = 0
  for (let i = 0; i < 100; i++) evidence.emit(answered)
  t.equal(log.length, 100)
})
