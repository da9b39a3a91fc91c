// The built commands in a real terminal (a pty).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { report } from '../../src/posture/report.ts'
import { judge } from '../../src/posture/signals.ts'
import { selfIdentity } from '../../src/system/process-identity.ts'
import { after, at, failed, started } from '../posture/evidence.ts'
import { CLI } from '../support/real/daemon.ts'
import { openTerminal } from '../support/real/terminal.ts'
import { requireTool } from '../support/real/tools.ts'

const CLEAR = '\u001b[H\u001b[2J'

/** A status of this process, with everything wrong that there is: more lines than any window has. */
function writeStatus(file: string): void {
  const { state, nowMs } = after([
    started,
    failed('a', 'pin-mismatch'),
    failed('b', 'certificate-untrusted'),
    { type: 'reload.refused', message: 'x '.repeat(140) },
  ])
  const shaping = { profile: 'jitter', inForce: 'yes', jitterMs: 20 } as const
  const verdict = judge(state, { now: at(nowMs), shaping, heartbeatLateMs: 900 })
  const { pid, startedAtTicks } = selfIdentity()
  const facts = { cache: { entries: 1, bytes: 2, maxBytes: 3 }, shaping }
  const writer = { version: '0.1.0', pid, ...(startedAtTicks === undefined ? {} : { processStart: startedAtTicks }), heartbeatS: 3600 }
  writeFileSync(file, JSON.stringify(report(state, verdict, writer, facts, Date.now())))
}

t.test('status --watch fits the window: the state is always in sight, and nothing scrolls', async (t) => {
  if (!requireTool(t, 'python3')) return
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-watch-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'status.json')
  writeStatus(file)
  for (const [columns, rows] of [
    [80, 24],
    [80, 10],
    [40, 24],
    [24, 5],
    [10, 2],
    [200, 60],
  ] as const) {
    const terminal = await openTerminal([process.execPath, CLI, 'status', '--watch', '--file', file], { columns, rows })
    t.teardown(() => terminal.close())
    await terminal.until(/enigm-dns/)
    await new Promise((resolve) => setTimeout(resolve, 300))
    const size = `${columns} x ${rows}`
    const [before, screen = ''] = terminal.text().split(CLEAR)
    t.equal(before, '', `${size}: nothing before the first screen`)
    const lines = screen
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
      .replaceAll(/\u001b\[\d+m/g, '')
      .replaceAll('\r', '')
      .split('\n')
    t.ok(lines.length <= rows, `${size}: ${lines.length} lines, the cursor's with them`)
    for (const line of lines) t.ok(line.length <= columns, `${size}: ${line}`)
    t.ok('enigm-dns  OFFLINE'.startsWith(lines[0] ?? '-'), `${size}: ${lines[0]}`)
    await terminal.close()
  }
})
