import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathOf } from './tools.ts'

/** One TLS record as it stood in the packets. */
export interface CapturedRecord {
  readonly direction: 'out' | 'in'
  readonly octets: number
}

/** A TCP segment with content. */
export interface Segment {
  /** Since any origin. */
  readonly atMs: number
  readonly octets: number
}

/** A packet capture. Read it after `stop`. */
export interface Capture {
  stop(): Promise<void>
  /** Packets that match a tshark display filter. */
  count(displayFilter: string): number
  /** Application-data records to and from the TLS server on `port`, in order. */
  records(port: number): readonly CapturedRecord[]
  /** Octets in each TCP segment to `port` that has any, in order. */
  sizes(port: number): readonly number[]
  /** The same with the time of each segment. */
  segments(port: number): readonly Segment[]
  remove(): void
}

/**
 * Captures what the pcap filter lets through on one interface, or on `any`; resolves once tcpdump
 * listens. Needs root, or a network namespace of one's own.
 */
export async function startCapture(pcapFilter: string, device = 'lo'): Promise<Capture> {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-capture-'))
  const file = join(dir, 'lo.pcap')
  // -Z root: tcpdump would give up root before it opens the file in our directory. -U: written as
  // it comes.
  const child = spawn(
    pathOf('tcpdump') ?? 'tcpdump',
    ['-i', device, '-w', file, '-U', '-Z', 'root', '-B', '16384', '-s', '0', `(${pcapFilter}) or ${MARKED}`],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  for (let waited = 0; !said.includes('listening on'); waited += 20) {
    if (child.exitCode !== null || waited > 10_000) throw new Error(`tcpdump: ${said}`)
    await sleep(20)
  }
  const tshark = (...args: string[]) =>
    execFileSync(pathOf('tshark') ?? 'tshark', ['-r', file, '-n', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 2 ** 28,
    })
  const segments = (port: number) =>
    tshark('-Y', `tcp.dstport == ${port} && tcp.len > 0`, '-T', 'fields', '-e', 'frame.time_relative', '-e', 'tcp.len')
      .split('\n')
      .filter(Boolean)
      .map((line): Segment => {
        const [time, octets] = line.split('\t')
        return { atMs: 1000 * Number(time), octets: Number(octets) }
      })
  return {
    async stop() {
      await sendMark(file)
      const gone = once(child, 'exit')
      child.kill('SIGINT')
      await gone
      if (!/0 packets dropped by kernel/.test(said)) throw new Error(`the capture is not complete: ${said}`)
    },
    count: (displayFilter) => tshark('-Y', `(${displayFilter}) && !(udp.port == ${MARK_PORT})`).split('\n').filter(Boolean).length,
    records: (port) => parseRecords(tshark('-d', `tcp.port==${port},tls`, '-Y', `tcp.port==${port} && tls.record`, ...FIELDS), port),
    sizes: (port) => segments(port).map(({ octets }) => octets),
    segments,
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}

/** The discard port (RFC 863). */
const MARK_PORT = 9
const MARKED = `(udp and dst port ${MARK_PORT})`

/**
 * Packets come in order: once this one lies in the file, so does all that went before it, however
 * busy the machine.
 */
async function sendMark(file: string): Promise<void> {
  const mark = randomBytes(16)
  const socket = createSocket('udp4')
  socket.send(mark, MARK_PORT, '127.0.0.1')
  for (let waited = 0; !readFileSync(file).includes(mark); waited += 20) {
    if (waited > 20_000) throw new Error('tcpdump does not write what it sees')
    await sleep(20)
  }
  socket.close()
}

const FIELDS = [
  '-T',
  'fields',
  '-e',
  'tcp.dstport',
  '-e',
  'tls.record.opaque_type',
  '-e',
  'tls.record.content_type',
  '-e',
  'tls.record.length',
]

/**
 * A line a packet, its records' types and lengths as lists; the encrypted come last in a packet.
 * Where the capture holds the handshake, tshark calls their type opaque.
 */
function parseRecords(text: string, port: number): readonly CapturedRecord[] {
  return text.split('\n').flatMap((line) => {
    const [to = '', opaque = '', content = '', lengths = ''] = line.split('\t')
    const encrypted = `${opaque},${content}`.split(',').filter((type) => type === '23').length
    if (encrypted === 0) return []
    const direction = Number(to) === port ? 'out' : 'in'
    return lengths
      .split(',')
      .slice(-encrypted)
      .map((length) => ({ direction, octets: Number(length) + 5 }) as const)
  })
}
