import { isIP, type LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Dispatcher } from 'undici'
import type { Clock } from '../clock.ts'
import { sourceUrlProblem } from '../config/source-url.ts'
import { EnigmError, systemCode } from '../errors.ts'

/** A request to fetch a source. */
export interface FetchRequest {
  /** An https URL that `sourceUrlProblem` accepts. */
  readonly url: string
  /** Limit of the body in octets, before and after decompression. */
  readonly maxOctets: number
  /**
   * Validators of the last fetch. With them, the server sends the content only if it has changed.
   */
  readonly etag?: string | undefined
  readonly lastModified?: string | undefined
  /**
   * Receives the parts of the body in order. If it rejects, the fetch rejects with the same error.
   */
  readonly take: (part: Uint8Array) => void | Promise<void>
}

/**
 * The result of a fetch; `fetchBuffer` adds the body. With `changed: false`, `take` was not called.
 */
export interface Fetched {
  readonly changed: boolean
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  /** Length of the body after decompression. */
  readonly octets: number
}

/** The services that a fetch uses. */
export interface FetchWorld {
  /**
   * Resolves the addresses of a host through this service, never through the system. Rejects with
   * an EnigmError.
   */
  readonly lookup: (host: string) => Promise<readonly string[]>
  readonly clock: Clock
  /** CA certificates in PEM that replace those of Node. */
  readonly ca?: string | undefined
}

const CONNECT_MS = 15_000
/** The longest wait for the header, and for the next part of the body. */
const PAUSE_MS = 20_000
const TOTAL_MS = 5 * 60_000
const MOST_REDIRECTS = 2
const MAX_HEADER_OCTETS = 16_384
/** Longer validators are not sent back. */
const MAX_VALIDATOR = 512
const REDIRECTS = new Set([301, 302, 303, 307, 308])

/**
 * Fetches a source over https. Sends no cookie and no User-Agent. Follows at most two redirects,
 * each within the same origin. Rejects with an EnigmError `source`; its message is a clause that
 * names the fault, without the URL. Errors of `lookup` and `take` are passed on.
 */
export async function fetchSource(request: FetchRequest, world: FetchWorld): Promise<Fetched> {
  const problem = sourceUrlProblem(request.url)
  if (problem !== undefined) throw refused(`its address ${problem}`)
  const { Agent } = await import('undici')
  const abort = new AbortController()
  const late = world.clock.setTimer(TOTAL_MS, () => abort.abort())
  const lookups = lookupBy(world.lookup)
  const agent = new Agent({
    connections: 1,
    pipelining: 1,
    headersTimeout: PAUSE_MS,
    bodyTimeout: PAUSE_MS,
    maxHeaderSize: MAX_HEADER_OCTETS,
    connect: { timeout: CONNECT_MS, lookup: lookups.lookup, rejectUnauthorized: true, ...(world.ca !== undefined && { ca: world.ca }) },
  })
  try {
    return await follow(new URL(request.url), request, agent, abort.signal)
  } catch (error) {
    if (error instanceof EnigmError) throw error
    throw lookups.failure ?? refused(faultOf(error, abort.signal.aborted), error)
  } finally {
    late.cancel()
    await agent.destroy()
  }
}

/** Fetches a small source into memory. Undefined: the source has not changed. */
export async function fetchBuffer(
  request: Omit<FetchRequest, 'take'>,
  world: FetchWorld,
): Promise<Fetched & { readonly body: Buffer | undefined }> {
  const parts: Uint8Array[] = []
  const fetched = await fetchSource({ ...request, take: (part) => void parts.push(Uint8Array.from(part)) }, world)
  return { ...fetched, body: fetched.changed ? Buffer.concat(parts) : undefined }
}

async function follow(first: URL, request: FetchRequest, agent: Dispatcher, signal: AbortSignal): Promise<Fetched> {
  let url = first
  for (let redirects = 0; ; redirects++) {
    const response = await agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'GET',
      headers: headersOf(request),
      signal,
    })
    // An unread body may still emit an error when the connection is closed.
    response.body.on('error', () => {})
    const { statusCode } = response
    if (!REDIRECTS.has(statusCode)) return await receive(response, request)
    if (redirects === MOST_REDIRECTS) throw refused(`it redirects more than ${MOST_REDIRECTS} times`)
    url = redirected(url, textOf(response.headers.location))
    response.body.destroy()
  }
}

function headersOf({ etag, lastModified }: FetchRequest): Record<string, string> {
  return {
    accept: '*/*',
    'accept-encoding': 'gzip',
    ...(etag !== undefined && { 'if-none-match': etag }),
    ...(lastModified !== undefined && { 'if-modified-since': lastModified }),
  }
}

function redirected(from: URL, location: string | undefined): URL {
  const to = location !== undefined && URL.canParse(location, from.href) ? new URL(location, from.href) : undefined
  if (to === undefined) throw refused('it redirects, but does not say where to')
  if (to.protocol !== 'https:') throw refused('it redirects to an address that is not https')
  if (to.origin !== from.origin) throw refused('it redirects to another server; if you trust that one, name it in "url"')
  return to
}

async function receive({ statusCode, headers, body }: Dispatcher.ResponseData, request: FetchRequest): Promise<Fetched> {
  const conditional = request.etag !== undefined || request.lastModified !== undefined
  const etag = validator(headers.etag)
  const lastModified = validator(headers['last-modified'])
  if (statusCode === 304 && conditional)
    return { changed: false, etag: etag ?? request.etag, lastModified: lastModified ?? request.lastModified, octets: 0 }
  if (statusCode !== 200) throw refused(`its server answers with status ${statusCode}`)
  if (/^\s*(text\/html|application\/xhtml)/i.test(textOf(headers['content-type']) ?? ''))
    throw refused('its server answers with a web page instead of a list')
  const length = Number(textOf(headers['content-length']) ?? 0)
  if (length > request.maxOctets) throw tooLarge(request.maxOctets)
  let octets = 0
  for await (const part of decoded(body, textOf(headers['content-encoding']))) {
    octets += part.length
    if (octets > request.maxOctets) throw tooLarge(request.maxOctets)
    await request.take(part)
  }
  return { changed: true, etag, lastModified, octets }
}

function decoded(body: Readable, encoding: string | undefined): AsyncIterable<Uint8Array> {
  const name = encoding?.trim().toLowerCase() ?? ''
  if (name === '' || name === 'identity') return body
  if (name !== 'gzip' && name !== 'x-gzip') throw refused('its server uses a compression that was not asked for')
  const gunzip = createGunzip()
  body.on('error', (error) => gunzip.destroy(error))
  return body.pipe(gunzip)
}

/**
 * Makes a lookup function for `connect` of undici that asks this service. Keeps its failure,
 * because Node wraps the errors of several addresses in one.
 */
function lookupBy(resolve: FetchWorld['lookup']): { readonly lookup: LookupFunction; readonly failure: EnigmError | undefined } {
  let failure: EnigmError | undefined
  const lookup: LookupFunction = (host, options, done) => {
    resolve(host).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }))
        const [first] = found
        if (first === undefined) {
          failure = refused('the name of its server has no address')
          done(failure, [])
        } else if (options.all === true) done(null, found)
        else done(null, first.address, first.family)
      },
      (error: unknown) => {
        failure = error instanceof EnigmError ? error : refused('the name of its server could not be resolved', error)
        done(failure, [])
      },
    )
  }
  return {
    lookup,
    get failure() {
      return failure
    },
  }
}

const TLS_CODE = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO)/
const SLOW_CODES = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'])

function faultOf(error: unknown, aborted: boolean): string {
  if (aborted) return `its server is too slow (more than ${TOTAL_MS / 60_000} min)`
  const code = codeIn(error)
  if (TLS_CODE.test(code)) return `its server did not prove its identity (${code})`
  if (SLOW_CODES.has(code)) return `its server is too slow (${code})`
  if (code.startsWith('Z_')) return 'its content is damaged (gzip)'
  return `its server cannot be reached, or the connection was lost (${code})`
}

/** The first error code in an error. Node joins the failures of several addresses in one error. */
function codeIn(error: unknown): string {
  if (error instanceof AggregateError) return codeIn(error.errors[0])
  return systemCode(error) ?? (error instanceof Error && error.cause !== undefined ? codeIn(error.cause) : 'unknown error')
}

const textOf = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value)

function validator(value: string | string[] | undefined): string | undefined {
  const text = textOf(value)
  return text === undefined || text.length > MAX_VALIDATOR || !/^[ -~]+$/.test(text) ? undefined : text
}

const tooLarge = (maxOctets: number) => refused(`it is larger than ${Math.floor(maxOctets / 1_048_576)} MiB`)

function refused(message: string, cause?: unknown): EnigmError {
  return new EnigmError('source', message, { cause })
}
