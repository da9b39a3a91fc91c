import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { systemClock, systemRandom } from '../../src/clock.ts'
import { loadConfig } from '../../src/config/load.ts'
import { upstreamQuery } from '../../src/dns/message.ts'
import { nameFromText } from '../../src/dns/name.ts'
import type { Event } from '../../src/events.ts'
import { tlsSessions } from '../../src/link/dial/sessions.ts'
import type { Ask } from '../../src/resolve.ts'
import { trustedResolvers } from '../../src/trusted-resolvers.ts'
import { reached } from '../upstream/fakes.ts'
import { codeOf } from './link-rig.ts'
import { openGate } from './rules.ts'

export interface TrustedSpec {
  /** Entries of a trusted set; each names `ca.pem` as its CA file. */
  readonly resolvers: readonly object[]
  readonly ca: string
  /** Without it, profile `off`. */
  readonly config?: Readonly<Record<string, unknown>>
}

/**
 * The trusted set as the daemon makes it, over real sockets and in this process: whatever lies
 * between a query and the wire, and nothing else.
 */
export async function trustedRig(t: Test, { resolvers, ca, config }: TrustedSpec) {
  const directory = mkdtempSync(join(tmpdir(), 'enigm-trusted-'))
  const write = (name: string, text: string) => writeFileSync(join(directory, name), text, { mode: 0o600 })
  write('ca.pem', ca)
  write('resolvers.json', JSON.stringify({ version: 1, resolvers }))
  const paths = { resolvers: 'resolvers.json', listen: ['127.0.0.1:0'], statusFile: 'status.json' }
  write('config.json', JSON.stringify({ shaping: { profile: 'off' }, ...config, ...paths }))
  const loaded = await loadConfig(join(directory, 'config.json')).finally(() => rmSync(directory, { recursive: true }))
  const clock = systemClock()
  const events: Event[] = []
  const emit = (event: Event) => void events.push(event)
  const trusted = trustedResolvers(loaded, {
    clock,
    random: systemRandom,
    emit,
    sessions: tlsSessions(clock),
    gate: openGate(),
    splitKey: () => new Uint8Array(32),
  })
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= trusted.close()
    return closed
  }
  t.teardown(close)
  const exchange = (name: string, ms = 4000, purpose: Ask['purpose'] = 'client') =>
    reached(trusted, messageFor(name), false, { purpose, deadlineMs: clock.nowMs() + ms })
  return {
    ...{ trusted, events, exchange, close },
    /** `answered`, or the code that it fails with. */
    ask: (name: string, ms?: number) => codeOf(exchange(name, ms)),
    count: (type: Event['type']) => events.filter((event) => event.type === type).length,
  }
}

function messageFor(name: string): Uint8Array {
  const wire = nameFromText(name)
  const lower = new Uint8Array(wire.length + 4)
  lower.set(wire)
  lower[wire.length + 1] = 1
  lower[wire.length + 3] = 1
  return upstreamQuery({ lower, type: 1, class: 1 }, false)
}
