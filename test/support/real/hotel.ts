// A network with a login page, in a network namespace: its own resolver answers every name with the
// address of its web server until somebody has paid, and the web server sends browsers from host to
// host. Run as a program inside the namespace; `startHotel` does that.
import { execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { textFromName } from '../../../src/dns/name.ts'
import { replyTo } from '../replies.ts'

/** The hotel's address: its resolver, its web server, and the default gateway of its guests. */
export const HOTEL = '10.7.0.1'
const PROGRAM = fileURLToPath(import.meta.url)
const MARK = 'ENIGM_DNS_TEST_HOTEL'
const TTL_S = 3600

/** What the hotel does with a guest. */
export interface HotelRules {
  /** Host by host, where a browser is sent: the first by every probe. Empty: silence. */
  readonly chain: readonly string[]
  /** Its resolver never answers. */
  readonly mute?: boolean
}

export interface Hotel {
  /** The names that its resolver was asked for, each time. */
  readonly asked: readonly string[]
  /** Somebody has paid: traffic passes from now on. */
  pay(): Promise<void>
  stop(): Promise<void>
}

/**
 * Makes the namespace with a link to it, and a default route through it. Needs one's own namespace.
 */
export async function startHotel(rules: HotelRules): Promise<Hotel> {
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })
  ip('netns', 'add', 'hotel')
  ip('link', 'add', 'wlan0', 'type', 'veth', 'peer', 'name', 'guests', 'netns', 'hotel')
  ip('addr', 'add', '10.7.0.2/24', 'dev', 'wlan0')
  ip('link', 'set', 'wlan0', 'up')
  for (const args of [
    ['addr', 'add', `${HOTEL}/24`, 'dev', 'guests'],
    ['link', 'set', 'guests', 'up'],
    ['link', 'set', 'lo', 'up'],
  ])
    ip('-n', 'hotel', ...args)
  ip('route', 'add', 'default', 'via', HOTEL)
  const child = spawn('ip', ['netns', 'exec', 'hotel', process.execPath, PROGRAM], {
    env: { ...process.env, [MARK]: JSON.stringify(rules) },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const asked: string[] = []
  let acknowledged = () => {}
  const ready = new Promise<void>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (line === 'ready') resolve()
      else if (line === 'paid') acknowledged()
      else asked.push(line)
    })
  })
  await ready
  return {
    asked,
    pay: () =>
      new Promise((resolve) => {
        acknowledged = resolve
        child.stdin.write('pay\n')
      }),
    async stop() {
      const gone = once(child, 'exit')
      child.stdin.end()
      await gone
      ip('netns', 'del', 'hotel')
    },
  }
}

/** The program in the namespace. */
function serve({ chain, mute = false }: HotelRules): void {
  let paid = false
  const resolver = createSocket('udp4', (query, from) => {
    process.stdout.write(`${textFromName(query.subarray(12))} ${query.readUInt16BE(query.length - 4)}\n`)
    if (mute) return
    const address = Uint8Array.of(0xc0, 12, 0, 1, 0, 1, 0, 0, TTL_S >> 8, TTL_S & 255, 0, 4, ...HOTEL.split('.').map(Number))
    const isA = query.readUInt16BE(query.length - 4) === 1
    resolver.send(replyTo(query, isA ? [address] : []), from.port, from.address)
  })
  const web = createServer((request, response) => {
    const at = chain.indexOf(request.headers.host ?? '')
    const next = chain[at + 1]
    if (paid) response.writeHead(204).end()
    else if (next !== undefined) response.writeHead(302, { location: `http://${next}/step?session=${Math.random()}` }).end()
    else response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Pay here</html>')
  })
  createInterface(process.stdin)
    .on('line', () => {
      paid = true
      process.stdout.write('paid\n')
    })
    .on('close', () => process.exit(0))
  resolver.bind(53, () => web.listen(80, () => process.stdout.write('ready\n')))
}

if (process.env[MARK] !== undefined) serve(JSON.parse(process.env[MARK]) as HotelRules)
