import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { extname } from 'node:path'
import t from 'tap'

const MODULE = JSON.stringify(new URL(`../../src/system/hardening${extname(import.meta.url)}`, import.meta.url).href)

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Runs a child until it prints a line; `port` is where its inspector would listen. */
async function child(program: string) {
  const port = await freePort()
  const started = spawn(process.execPath, [`--inspect-port=${port}`, '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env.PATH },
  })
  const [line] = (await once(started.stdout, 'data')) as [Buffer]
  return { process: started, line: line.toString().trim(), port }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

async function inspectorOpens(program: string): Promise<boolean> {
  const { process, port } = await child(program)
  for (let i = 0; i < 3; i++) process.kill('SIGUSR1')
  let open = false
  for (let i = 0; i < 40 && !open; i++) {
    await new Promise((resolve) => setTimeout(resolve, 25))
    open = await listens(port)
  }
  if (process.exitCode !== null || process.signalCode !== null) throw new Error('the signal ended it')
  process.kill('SIGKILL')
  return open
}

t.test('SIGUSR1 opens the inspector of a plain process, and not of a hardened one', async (t) => {
  const stay = 'setInterval(() => {}, 1000); console.log("up")'
  t.equal(await inspectorOpens(stay), true, 'the check sees an inspector')
  t.equal(await inspectorOpens(`(await import(${MODULE})).harden(); ${stay}`), false)
})

t.test('files are ours alone, and a core dump holds no memory', async (t) => {
  const program = `(await import(${MODULE})).harden()
    const { readFileSync } = await import('node:fs')
    let filter = '00000000'
    try { filter = readFileSync('/proc/self/coredump_filter', 'latin1').trim() } catch {}
    console.log(process.umask().toString(8) + ' ' + filter)`
  const { process, line } = await child(program)
  t.equal(line, '77 00000000')
  if (process.exitCode === null) await once(process, 'exit')
})
