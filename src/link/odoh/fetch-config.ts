import { request as requestH1 } from 'node:http'
import { connect as connectH2 } from 'node:http2'
import type { Readable } from 'node:stream'
import { asEnigmError, EnigmError } from '../../errors.ts'
import { hostAndPort } from '../carriers/doh-message.ts'
import { type Connection, type ConnectOptions, connect } from '../dial/connect.ts'
import type { Endpoint } from '../dial/endpoint.ts'
import { slownessOf } from '../dial/hops.ts'

/** Where targets publish their keys. */
const PATH = '/.well-known/odohconfigs'
/** A list of keys has a few hundred octets. */
const MAX_OCTETS = 8192
/** For a direct path, as for a dial. */
const TIMEOUT_MS = 3000

/**
 * Fetches what the target publishes, from `target`, which offers DoH. Rejects with an EnigmError:
 * that of the dial, a code of HTTP, or the reason of the signal.
 */
export async function fetchTargetConfig(target: Endpoint, options: ConnectOptions): Promise<Uint8Array> {
  const refusal = options.pace.refusal()
  if (refusal !== undefined) throw refusal
  const connection = await connect(target, 'doh', options)
  try {
    return await got(connection, target, options)
  } finally {
    connection.stream.on('error', () => {}).destroy()
  }
}

/** What a response does. */
interface ResponseSink {
  head(status: number | undefined, body: Readable): void
  broken(cause: unknown): void
}

function got(connection: Connection, target: Endpoint, { clock, signal }: ConnectOptions): Promise<Uint8Array> {
  const authority = hostAndPort(target.authenticationDomainName, target.doh?.port)
  const timeoutMs = TIMEOUT_MS * slownessOf(target.route ?? [])
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(asEnigmError(signal.reason))
    const over = () => {
      timer.cancel()
      signal?.removeEventListener('abort', aborted)
    }
    const aborted = () => end(asEnigmError(signal?.reason))
    signal?.addEventListener('abort', aborted)
    const end = (error: EnigmError) => {
      over()
      close()
      reject(error)
    }
    const timer = clock.setTimer(timeoutMs, () => end(new EnigmError('deadline', 'the target did not answer in time')))
    const broken = (cause: unknown) =>
      end(new EnigmError('connection-lost', 'the target closed the connection', { cause: asEnigmError(cause) }))
    const chunks: Buffer[] = []
    let octets = 0
    const ask = connection.protocol === 'h2' ? askH2 : askH1
    const close = ask(connection, authority, {
      broken,
      head(status, body) {
        if (status !== 200) return end(new EnigmError('http-status', `status ${status}`))
        body.on('data', (chunk: Buffer) => {
          octets += chunk.length
          if (octets > MAX_OCTETS) end(new EnigmError('http-size', 'longer than a list of keys'))
          else chunks.push(chunk)
        })
        body.on('end', () => {
          over()
          resolve(Buffer.concat(chunks))
          close()
        })
      },
    })
  })
}

/** Asks, and returns how to stop. */
function askH2({ stream }: Connection, authority: string, { head, broken }: ResponseSink): () => void {
  const session = connectH2(`https://${authority}`, { createConnection: () => stream, settings: { enablePush: false } })
  session.on('error', broken).on('close', () => broken(undefined))
  const request = session.request({ ':path': PATH, 'accept-encoding': 'identity' })
  request.on('error', broken).on('response', ({ ':status': status }) => head(status, request))
  return () => session.destroy()
}

function askH1({ stream }: Connection, authority: string, { head, broken }: ResponseSink): () => void {
  const request = requestH1({ createConnection: () => stream, path: PATH, headers: { host: authority, 'accept-encoding': 'identity' } })
  request.on('error', broken).on('response', (response) => {
    response.on('error', broken)
    head(response.statusCode, response)
  })
  request.end()
  return () => request.destroy()
}
