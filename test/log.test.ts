import { spawn } from 'node:child_process'
import { extname } from 'node:path'
import t from 'tap'
import { createLog } from '../src/log.ts'

const MODULE = JSON.stringify(new URL(`../src/log${extname(import.meta.url)}`, import.meta.url).href)
const failed = { type: 'link.failed', resolver: 'a', transport: 'dot', code: 'closed', detail: 'a "quoted"\n line' } as const

t.test('one JSON object per line, levels are respected, a fault of one link once a minute', async (t) => {
  const lines: string[] = []
  const log = createLog('info', (line) => void lines.push(line))
  log.info('one')
  log.event({ type: 'link.down', resolver: 'a', transport: 'dot', code: 'closed' })
  for (const resolver of ['a', 'a', 'b']) log.event({ ...failed, resolver })
  log.setLevel('debug')
  log.event({ type: 'link.down', resolver: 'a', transport: 'dot', code: 'closed' })
  log.setLevel('silent')
  log.warn('not this one')
  t.ok(lines.every((line) => line.endsWith('\n') && line.indexOf('\n') === line.length - 1))
  const read = lines.map((line): Record<string, unknown> => JSON.parse(line))
  t.same(
    read.map(({ level, msg, resolver }) => [level, msg, resolver]),
    [
      ['info', 'one', undefined],
      ['warn', 'link failed', 'a'],
      ['warn', 'link failed', 'b'],
      ['debug', 'link down', 'a'],
    ],
  )
  t.equal(read[1]?.detail, failed.detail)
  t.ok(read.every(({ time }) => !Number.isNaN(Date.parse(String(time)))))
})

t.test('a reader that does not read delays nothing: 20,000 lines into a full pipe', async (t) => {
  // Touching process.stderr makes the pipe one that says EAGAIN.
  const script = `const { createLog } = await import(${MODULE}); process.stderr; const log = createLog('info')
    for (let i = 0; i < 20000; i++) log.info('x'.repeat(100)); process.stdout.write('done')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const late = setTimeout(() => child.kill('SIGKILL'), 60_000)
  await new Promise((resolve) => child.once('exit', resolve))
  clearTimeout(late)
  t.equal(said, 'done')
})
