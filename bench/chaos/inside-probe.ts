// Loaded into the daemon (`--import`) by the soak: writes what only the process itself knows, a
// JSON line every 10 s, to the file that SOAK_PROBE names.
import { appendFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const EVERY_MS = 10_000
/** A collection stands still for 20 ms: one a minute does not show in a p99. */
const LINES_FOR_A_COLLECTION = 6
const file = process.env.SOAK_PROBE
delete process.env.NODE_OPTIONS // not for what the daemon starts

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')
const loop = monitorEventLoopDelay({ resolution: 5 })
loop.enable()
let lines = 0
setInterval(() => {
  if (file === undefined) return
  const loopMs = { p99: loop.percentile(99) / 1e6, p999: loop.percentile(99.9) / 1e6, max: loop.max / 1e6 }
  const collected = lines++ % LINES_FOR_A_COLLECTION === 0
  if (collected) collect()
  const { heapUsed, rss } = process.memoryUsage()
  const heap = collected ? { heapMb: heapUsed / 2 ** 20 } : {}
  appendFileSync(file, `${JSON.stringify({ atMs: Date.now(), loopMs, rssMb: rss / 2 ** 20, ...heap })}\n`)
}, EVERY_MS).unref()
