import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/**
 * TLS content types (RFC 8446 section 5.1). In TLS 1.3 everything after the hello is sent as
 * application data.
 */
const APPLICATION_DATA = 23
const HANDSHAKE = 22
const TLS_MAJOR = 3
const RECORD_HEADER_OCTETS = 5

/**
 * What an observer on the path sees of one TLS record: its time, direction and length in octets,
 * and whether it is application data. Never its content.
 */
export interface TlsRecord {
  readonly atMs: number
  readonly direction: 'out' | 'in'
  readonly octets: number
  readonly applicationData: boolean
}

/** A wire tap on the link between the daemon and its resolver. */
export interface LinkTap {
  readonly port: number
  /** All records so far, oldest first. */
  readonly records: readonly TlsRecord[]
  /** Number of TCP connections so far. */
  readonly connections: number
  close(): Promise<void>
}

/**
 * Listens on a free loopback port, forwards every octet to `targetPort`, and reads only the
 * five-octet record headers. `nowMs` provides the time of each record.
 */
export async function tapLink(targetPort: number, nowMs: () => number): Promise<LinkTap> {
  const records: TlsRecord[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((client) => {
    connections++
    const far = connect(targetPort, '127.0.0.1')
    pass(client, far, (record) => records.push({ ...record, atMs: nowMs(), direction: 'out' }))
    pass(far, client, (record) => records.push({ ...record, atMs: nowMs(), direction: 'in' }))
    for (const socket of [client, far]) {
      sockets.add(socket)
      socket.setNoDelay()
      socket.on('close', () => sockets.delete(socket))
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    records: records,
    get connections() {
      return connections
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}

type Sized = Pick<TlsRecord, 'octets' | 'applicationData'>

function pass(from: Socket, to: Socket, onRecord: (record: Sized) => void): void {
  const count = recordCounter(onRecord)
  from.on('data', (chunk) => {
    count(chunk)
    to.write(chunk)
  })
  from.on('end', () => to.end())
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}

/**
 * Follows a TLS stream by its record headers, for any division into chunks; stores at most one
 * header. What comes before the first handshake record (a greeting to a proxy) is skipped.
 */
export function recordCounter(onRecord: (record: Sized) => void): (chunk: Uint8Array) => void {
  const header: number[] = []
  let skip = 0
  let begun = false
  return (chunk) => {
    for (let at = 0; at < chunk.length; ) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at)
        skip -= step
        at += step
        continue
      }
      header.push(chunk[at++] ?? 0)
      if (!begun && !mayBegin(header)) header.shift()
      if (header.length < RECORD_HEADER_OCTETS) continue
      begun = true
      const [type, , , high = 0, low = 0] = header
      skip = (high << 8) | low
      header.length = 0
      onRecord({ octets: skip + RECORD_HEADER_OCTETS, applicationData: type === APPLICATION_DATA })
    }
  }
}

const mayBegin = ([type, major = TLS_MAJOR]: readonly number[]) => type === HANDSHAKE && major === TLS_MAJOR
