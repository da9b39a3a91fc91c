import { request as requestH1 } from 'node:http'
import { connect as connectH2 } from 'node:http2'
import type { Readable } from 'node:stream'
import { asEnigmError, EnigmError } from '../../errors.ts'
import { hostAndPort } from '../carriers/doh-message.ts'
import { type Connection, type ConnectOptions, connect } from '../dial/connect.ts'
import type { Endpoint } from '../dial/endpoint.ts'
import { slownessOf } from '../dial/hops.ts'

/** The path at which targets publish their keys. */
const PATH = '/.well-known/odohconfigs'
/** Limit of a response. A real list of keys has a few hundred octets. */
const MAX_OCTETS = 8192
/**
 * Limit for one request over a direct path, the same as for a dial. Behind proxies it is longer.
 */
const TIMEOUT_MS = 3000

/**
 * Fetches the ObliviousDoHConfigs (RFC 9230) of `target` over HTTPS. `target` must offer DoH.
 * Rejects with an EnigmError: an error of the dial, an `http-` code, `deadline`, `connection-lost`,
 * or the reason of the signal.
 */
export async function fetchTargetConfig(target: Endpoint, options: ConnectOptions): Promise<Uint8Array> {
  const refusal = options.pace.refusal()
  if (refusal !== undefined) throw refusal
  const connection = await connect(target, 'doh', options)
  try {
    return await requestConfigs(connection, target, options)
  } finally {
    connection.stream.on('error', () => {}).destroy()
  }
}

/** Receives the head of a response, or its failure. */
interface ResponseSink {
  head(status: number | undefined, body: Readable): void
  broken(cause: unknown): void
}

function requestConfigs(connection: Connection, target: Endpoint, { clock, signal }: ConnectOptions): Promise<Uint8Array> {
  const authority = hostAndPort(target.authenticationDomainName, target.doh?.port)
  const timeoutMs = TIMEOUT_MS * slownessOf(target.route ?? [])
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(asEnigmError(signal.reason))
    const cleanUp = () => {
      timer.cancel()
      signal?.removeEventListener('abort', aborted)
    }
    const aborted = () => end(asEnigmError(signal?.reason))
    signal?.addEventListener('abort', aborted)
    const end = (error: EnigmError) => {
      cleanUp()
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
          if (octets > MAX_OCTETS) end(new EnigmError('http-size', 'the list of keys is too long'))
          else chunks.push(chunk)
        })
        body.on('end', () => {
          cleanUp()
          resolve(Buffer.concat(chunks))
          close()
        })
      },
    })
  })
}

/** Sends the request over HTTP/2 and returns a function that stops it. */
function askH2({ stream }: Connection, authority: string, { head, broken }: ResponseSink): () => void {
  const session = connectH2(`https://${authority}`, { createConnection: () => stream, settings: { enablePush: false } })
  session.on('error', broken).on('close', () => broken(undefined))
  const request = session.request({ ':path': PATH, 'accept-encoding': 'identity' })
  request.on('error', broken).on('response', ({ ':status': status }) => head(status, request))
  return () => session.destroy()
}

/** Sends the request over HTTP/1.1 and returns a function that stops it. */
function askH1({ stream }: Connection, authority: string, { head, broken }: ResponseSink): () => void {
  const request = requestH1({ createConnection: () => stream, path: PATH, headers: { host: authority, 'accept-encoding': 'identity' } })
  request.on('error', broken).on('response', (response) => {
    response.on('error', broken)
    head(response.statusCode, response)
  })
  request.end()
  return () => request.destroy()
}
