// What is not configured costs nothing: what a start with the default kind of configuration loads,
// and the memory that it has then.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { CLI } from '../support/real/daemon.ts'
import { insideNamespace } from '../support/real/namespace.ts'

/**
 * Of each room with a part that is optional: the files that every start loads. Every other file of
 * these rooms waits until it is needed.
 */
const LOADED: Readonly<Record<string, readonly string[]>> = {
  commands: ['run', 'service'],
  demo: [],
  page: [],
  // The control socket must be able to begin a trace.
  trace: ['query-trace'],
  // With `off`, what an earlier setting saved is deleted.
  retention: ['retention', 'saved-cache'],
  // The pool that stands for no workers, and what it shares with the threads.
  workers: ['miss-codec', 'miss-server', 'protocol', 'worker-pool'],
}
/** Packages that a default start needs: commander and pino load by `require`, before and after. */
const PACKAGES = ['commander', 'jsonc-parser', 'lru-cache', 'valibot']
/** Bundles of dist/parts. */
const BUNDLES = ['commander', 'pino', 'program', 'run']
/**
 * 78 MB on Node 20.20 (x86-64, 5 starts within 1.3 MB) where output goes to a pipe, 64 where it
 * goes to /dev/null; a Node without a program has 39.
 */
const MAX_RSS_MB = 95

const MODULE_HOOK = `import { register } from 'node:module'
const load = 'export function load(url, context, next) { process._rawDebug("loads " + url); return next(url, context) }'
register('data:text/javascript,' + encodeURIComponent(load))`
const BUNDLE_HOOK = `const vm = require('node:vm'); const { Script } = vm
vm.Script = class extends Script { constructor(text, o) { super(text, o); process._rawDebug('loads ' + o.filename) } }`

/** A start with the shipped resolvers; only places differ from the defaults. */
async function start(t: Test, main: string, hook?: 'hook.mjs' | 'hook.cjs') {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-default-'))
  const write = (name: string, text: string) => writeFileSync(join(dir, name), text, { mode: 0o600 })
  write('config.json', JSON.stringify({ listen: ['127.0.0.1:5399'], statusFile: 'status.json', stateDir: 'state' }))
  write('hook.mjs', MODULE_HOOK)
  write('hook.cjs', BUNDLE_HOOK)
  const hooked = hook === undefined ? [] : [hook === 'hook.mjs' ? '--import' : '--require', join(dir, hook)]
  const child = spawn(process.execPath, [...hooked, main, 'run', '--config', join(dir, 'config.json')], {
    env: { PATH: process.env.PATH ?? '' },
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  t.teardown(async () => {
    if (child.exitCode === null) {
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    rmSync(dir, { recursive: true, force: true })
  })
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => Promise.reject(new Error(said)))])
  await sleep(1000)
  const loaded = [...said.matchAll(/^loads (.*)$/gm)].map(([, name = '']) => name)
  return { loaded: [...new Set(loaded)].sort(), pid: child.pid ?? 0 }
}

if (insideNamespace(t, import.meta.url)) {
  t.setTimeout(120_000)

  t.test('optional rooms and packages are not loaded', async (t) => {
    const main = join(dirname(fileURLToPath(import.meta.url)), '../../src/main.js')
    const { loaded } = await start(t, main, 'hook.mjs')
    const ours = loaded.flatMap((url) => /\/src\/(.*)\.js$/.exec(url)?.[1] ?? [])
    t.ok(ours.length > 100, `${ours.length} files of src`)
    for (const [room, files] of Object.entries(LOADED)) {
      const found = ours.filter((path) => path.startsWith(`${room}/`)).map((path) => path.slice(room.length + 1))
      t.strictSame(found, files, room)
    }
    const packages = loaded.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [])
    t.strictSame([...new Set(packages)], PACKAGES)
  })

  t.test('only the bundles of `run` are loaded', async (t) => {
    const { loaded } = await start(t, CLI, 'hook.cjs')
    t.strictSame(
      loaded.map((path) => /\/parts\/(.*)\.js$/.exec(path)?.[1]),
      BUNDLES,
    )
  })

  t.test('memory after the start is bounded', async (t) => {
    const { pid } = await start(t, CLI)
    const rssMb = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024
    t.comment(`${rssMb.toFixed(1)} MB after the start`)
    t.ok(rssMb < MAX_RSS_MB, `${rssMb.toFixed(1)} MB`)
  })
}
