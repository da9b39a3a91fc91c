import { spawn } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { writeStamp } from '../../src/config/stamps.ts'
import { whileLocked } from '../../src/files/lock.ts'

const properties = { dnssec: true, noLogs: true, noFilter: true }

/** Runs `resolvers add` in a process of its own. */
function add(set: string, n: number): Promise<{ readonly code: number; readonly out: string }> {
  const stamp = writeStamp({ protocol: 'dot', properties, address: `192.0.2.${n}`, port: 853, hostname: `r${n}.example`, certHashes: [] })
  const main = new URL('../../src/main.js', import.meta.url).pathname
  const child = spawn(process.execPath, [main, 'resolvers', 'add', stamp, '--set', set], { stdio: ['ignore', 'pipe', 'ignore'] })
  let out = ''
  child.stdout.on('data', (text) => (out += text))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code: code ?? -1, out })))
}

t.test('commands that change one set at the same time lose no entry that they report as added', async (t) => {
  for (let round = 0; round < 2; round++) {
    const set = join(t.testdir({}), 'set.json')
    const found = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => add(set, n)))
    const added = found.filter(({ code }) => code === 0)
    t.ok(added.length > 0)
    t.ok(added.every(({ out }) => out.includes('added')))
    t.equal(JSON.parse(readFileSync(set, 'utf8')).resolvers.length, added.length)
    t.notOk(existsSync(`${set}.lock`))
  }
})

t.test('the lock of a killed process is taken over, and a link has the lock of its target', (t) => {
  const directory = t.testdir({})
  const at = (name: string) => join(directory, name)
  writeFileSync(at('set.json'), '')
  symlinkSync(at('set.json'), at('link.json'))
  writeFileSync(at('set.json.lock'), '1\n')
  t.equal(
    whileLocked(at('link.json'), () => existsSync(at('set.json.lock')), 100),
    true,
  )
  t.notOk(existsSync(at('set.json.lock')))
  t.throws(() => whileLocked(join(at('absent'), 'set.json'), () => undefined), { code: 'ENOENT' })
  t.end()
})
