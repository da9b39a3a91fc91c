import { newName, quantile } from './asker.ts'
import type { Chaos, Check, Row } from './row.ts'
import { type Scene, startScene } from './scene.ts'

/** How one row went. */
export interface RowResult {
  readonly name: string
  readonly fault: string
  readonly over?: string
  readonly pass: boolean
  readonly seconds: number
  readonly checks: readonly Check[]
  readonly notes: readonly string[]
  readonly error?: string
}

/**
 * Runs one row on a scene of its own. What holds always is checked beside: the process lives,
 * nothing wrong was answered, nothing unexpected or cleartext left.
 */
export async function runRow(row: Row, o: { readonly fast: boolean; readonly slack: number; readonly seed: number }): Promise<RowResult> {
  const checks: Check[] = []
  const notes: string[] = []
  const scenes: Scene[] = []
  const check = (what: string, figure: number, op: '<=' | '>=', limit: number, unit = '') => {
    const pass = op === '<=' ? figure <= limit : figure >= limit
    checks.push({ what, figure, limit: [op, limit], unit, pass })
  }
  const chaos: Chaos = {
    ...o,
    check,
    within: (what, figureMs, limitMs) => check(what, figureMs, '<=', limitMs * o.slack, 'ms'),
    note: (text) => void notes.push(text),
    async scene(wish) {
      const scene = await startScene(wish, o.seed)
      scenes.push(scene)
      return scene
    },
  }
  const beganMs = performance.now()
  let error: string | undefined
  try {
    await row.run(chaos)
    for (const scene of scenes) await always(scene, chaos)
  } catch (cause) {
    error = cause instanceof Error ? cause.message : String(cause)
  } finally {
    await Promise.all(scenes.map((scene) => scene.close().catch(() => {})))
  }
  const pass = error === undefined && checks.every(({ pass }) => pass)
  const seconds = (performance.now() - beganMs) / 1000
  const over = row.over === undefined ? {} : { over: row.over }
  return { name: row.name, fault: row.fault, ...over, pass, seconds, checks, notes, ...(error === undefined ? {} : { error }) }
}

async function always({ daemon, servers, unexpected, asker }: Scene, c: Chaos): Promise<void> {
  c.check('crashes', daemon.alive ? 0 : 1, '<=', 0)
  c.check('faults in the log', daemon.log().match(/"type":"fault"|unhandled|uncaught/gi)?.length ?? 0, '<=', 0)
  c.check(
    'cleartext connections',
    servers.reduce((sum, { path }) => sum + path.counts.cleartext, 0),
    '<=',
    0,
  )
  if (unexpected.length > 0) c.check(`unexpected by the server: ${unexpected[0]}`, unexpected.length, '<=', 0)
  c.check('wrong answers', asker.counts.wrong, '<=', 0)
  c.check('questions without a reply', asker.counts.silent, '<=', 0)
  const failures = Object.entries(asker.counts.failed).map(([how, count]) => `${how} ${count}x`)
  if (failures.length > 0) c.note(`not answered: ${failures.join(', ')}`)
}

/**
 * The latency of hits, asked for all along beside something else: what holds them up is the event
 * loop.
 */
export async function hitsBeside<T>({ asker }: Scene, beside: Promise<T>): Promise<{ readonly p99Ms: number; readonly result: T }> {
  const name = newName('always')
  await asker.ask(name)
  const times: number[] = []
  let over = false
  const done = beside.finally(() => {
    over = true
  })
  done.catch(() => {})
  while (!over) {
    const { tookMs, right } = await asker.ask(name, true)
    if (right) times.push(tookMs)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return { p99Ms: quantile(times, 0.99), result: await done }
}
