import { connect as connectH2 } from 'node:http2'
import type { Clock } from '../../clock.ts'
import { asEnigmError, EnigmError } from '../../errors.ts'
import { hostAndPort } from '../carriers/doh-message.ts'
import { type Connection, type ConnectOptions, connect } from '../dial/connect.ts'
import type { Endpoint } from '../dial/endpoint.ts'

/** Where targets publish their keys. */
const PATH = '/.well-known/odohconfigs'
/** A list of keys has a few hundred octets. */
const MAX_OCTETS = 8192
const TIMEOUT_MS = 3000

/**
 * Fetches what the target publishes, from `target`, which offers DoH. Rejects with an EnigmError:
 * that of the dial, or a code of HTTP.
 */
export async function fetchTargetConfig(target: Endpoint, options: ConnectOptions): Promise<Uint8Array> {
  const refusal = options.pace.refusal()
  if (refusal !== undefined) throw refusal
  const connection = await connect(target, 'doh', options)
  try {
    if (connection.protocol !== 'h2') throw new EnigmError('alpn-missing', 'the target speaks no HTTP/2')
    return await got(connection, hostAndPort(target.authenticationDomainName, target.doh?.port), options.clock)
  } finally {
    connection.stream.on('error', () => {}).destroy()
  }
}

function got({ stream }: Connection, authority: string, clock: Clock): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const session = connectH2(`https://${authority}`, { createConnection: () => stream, settings: { enablePush: false } })
    const end = (error?: EnigmError) => {
      timer.cancel()
      session.destroy()
      if (error !== undefined) reject(error)
    }
    const broken = (error: unknown) =>
      end(new EnigmError('connection-lost', 'the target closed the connection', { cause: asEnigmError(error) }))
    const timer = clock.setTimer(TIMEOUT_MS, () => end(new EnigmError('deadline', 'the target did not answer in time')))
    session.on('error', broken).on('close', () => broken(undefined))
    const request = session.request({ ':path': PATH, 'accept-encoding': 'identity' })
    const chunks: Buffer[] = []
    let octets = 0
    request.on('error', broken).on('response', ({ ':status': status }) => {
      if (status !== 200) end(new EnigmError('http-status', `status ${status}`))
    })
    request.on('data', (chunk: Buffer) => {
      octets += chunk.length
      if (octets > MAX_OCTETS) end(new EnigmError('http-size', 'longer than a list of keys'))
      else chunks.push(chunk)
    })
    request.on('end', () => {
      resolve(Buffer.concat(chunks))
      end()
    })
  })
}
