import { statusScreen } from '../../../src/commands/status-screen.ts'
import { createMonitor } from '../../../src/posture/monitor.ts'
import { judgedDocument, judgeText } from '../../../src/posture/reader.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { must, type Target } from '../target.ts'

const NOW_MS = Date.UTC(2026, 0, 2)

/** A document as it is written, with a link that works and one that does not. */
function written(): string {
  const clock = new FakeClock()
  clock.jumpWall(NOW_MS - clock.wallMs())
  const resolver = (id: string) => ({ id, operator: id.toUpperCase(), transports: ['dot'] as const })
  const monitor = createMonitor({
    setup: {
      ...{ usageProfile: 'strict', queryBlock: 128, policy: undefined, resolvers: [resolver('a'), resolver('b')] },
      ...{ shaping: { profile: 'jitter', jitterMs: 20 }, paced: false, systemEnabled: false, splitDns: [], paths: [] },
      ...{ generalSides: [['a', 'b']], split: 'none' },
    },
    writer: { version: '0.1.0', pid: 4711, processStart: 'boot:1', heartbeatS: 10 },
    gate() {},
    clock,
    file: { replace: () => true, withdraw() {} },
    counts: () => ({ entries: 1, bytes: 2, maxBytes: 3, hits: 4, misses: 5 }),
  })
  const protection = { authenticated: true, by: 'ca', tlsVersion: 'TLSv1.3', cipher: 'C', resumed: false } as const
  monitor.emit({ type: 'service.started' })
  monitor.emit({ type: 'link.up', resolver: 'a', transport: 'dot', address: '192.0.2.1', protection, handshakeMs: 9 })
  monitor.emit({ type: 'upstream.answered', resolver: 'a', transport: 'dot', rttMs: 9, protection, paddedReply: true })
  monitor.emit({ type: 'link.failed', resolver: 'b', transport: 'dot', code: 'certificate-expired', detail: 'x' })
  return JSON.stringify(monitor.document())
}
const text = (value: string) => Uint8Array.from(Buffer.from(value))

/** The status file as `status` reads it: another program may have written it. */
export const statusTarget: Target = {
  name: 'status',
  maxOctets: 32_768,
  words: ['"state":', '"protected"', '\\u001b[2J', '\\u202e'].map(text),
  seeds: [text(written()), text('{"schema":"enigm-dns/status/1"}'), text('[]')],
  timed(input) {
    judgeText('status.json', Buffer.from(input).toString('utf8'), { wallMs: NOW_MS, isSame: () => undefined })
  },
  run(input) {
    const reading = judgeText('status.json', Buffer.from(input).toString('utf8'), { wallMs: NOW_MS, isSame: () => undefined })
    must(reading.judgement === 'current' || reading.exitCode === 3, 'what is not current is never good')
    const said = judgedDocument(reading)
    must(reading.judgement === 'current' || said.state === 'offline', 'what is not current says offline')
    const screen = statusScreen(reading, NOW_MS, { colour: false, width: 80 })
    must(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(screen.replaceAll('\n', '')), 'nothing on the screen steers a terminal')
  },
}
