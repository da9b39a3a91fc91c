import { createHmac, randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { isOnion, parsePlace } from '../route.ts'
import { type CollectProblem, caOf } from './documents.ts'
import { readGuarded } from './file-safety.ts'
import { quoted } from './problems.ts'
import type { ProxyConfig } from './proxies.ts'
import type { ConfigFile } from './settings.ts'
import type { TrustedResolver } from './trusted-set.ts'

/** Reads the files that proxies need, and checks routes, which concern more than one key. */

/** A password. No log, document or error shows it. */
export class Secret {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }
  reveal(): string {
    return this.#text
  }
  /** A digest with a key of this process, because a reload compares configurations as JSON. */
  toJSON(): string {
    return createHmac('sha256', PROCESS_KEY).update(this.#text).digest('base64')
  }
}
const PROCESS_KEY = randomBytes(32)

/** The contents of the files of one proxy. */
export interface ProxyFiles {
  readonly password?: Secret
  /** PEM of the only trusted roots. Absent: those bundled with Node. */
  readonly ca?: string
}

/** The contents of the files of all proxies, by name, and the paths of these files. */
export interface ReadProxies {
  readonly contents: Readonly<Record<string, ProxyFiles>>
  readonly files: readonly string[]
}

/** Reads the password and CA files of every proxy. Problems are collected. */
export async function readProxyFiles(
  configFile: string,
  base: string,
  proxies: ConfigFile['proxies'],
  collect: CollectProblem,
): Promise<ReadProxies> {
  const read = await Promise.all(
    Object.entries(proxies).map(async ([name, { passwordFile, tls }]) => {
      const whose = (key: string) => `(${key} of the proxy "${name}" in ${configFile})`
      const secretFile = passwordFile === undefined ? undefined : resolve(base, passwordFile)
      const caFile = tls?.caFile === undefined ? undefined : resolve(base, tls.caFile)
      const password = secretFile === undefined ? undefined : await passwordIn(secretFile, whose('passwordFile'), collect)
      const ca = caFile === undefined ? undefined : await caOf(caFile, whose('caFile'), collect)
      const contents: ProxyFiles = { ...(password && { password }), ...(ca !== undefined && { ca }) }
      return { name, contents, files: [secretFile ?? [], caFile ?? []].flat() }
    }),
  )
  return {
    contents: Object.fromEntries(read.map(({ name, contents }) => [name, contents])),
    files: read.flatMap(({ files }) => files),
  }
}

/** Limit of a password (RFC 1929 section 2). */
const MOST_PASSWORD_OCTETS = 255
const MOST_FILE_OCTETS = 4096

async function passwordIn(file: string, whose: string, collect: CollectProblem): Promise<Secret | undefined> {
  const { text, failed, unsafe } = await readGuarded(file, MOST_FILE_OCTETS, true)
  const no = (message: string) => void collect({ file, path: '', message: `${message} ${whose}` })
  if (failed !== undefined) no(`cannot be read: ${failed}`)
  for (const message of unsafe) no(message)
  if (text === undefined) return undefined
  const password = text.replace(/\r?\n$/, '')
  if (password === '') no('is empty; write the password into it')
  else if (/[\p{Cc}]/u.test(password)) no('must hold the password in one line, without control characters')
  else if (Buffer.byteLength(password) > MOST_PASSWORD_OCTETS)
    no(`holds a password of more than ${MOST_PASSWORD_OCTETS} octets, which no proxy accepts; use a shorter one`)
  return new Secret(password)
}

/** The place of a `via` in a file. */
interface Written {
  readonly file: string
  readonly path: string
  readonly via: readonly string[]
}

/** A resolver, and the place of its entry. */
export interface PlacedResolver {
  readonly resolver: TrustedResolver
  /** As in `resolvers[0]`. */
  readonly path: string
}

/** Collects the problems of the routes to all resolvers in use. */
export function checkRoutes(
  { configFile, setFile }: { readonly configFile: string; readonly setFile: string },
  { proxies, via }: Pick<ConfigFile, 'proxies' | 'via'>,
  resolvers: readonly PlacedResolver[],
  collect: CollectProblem,
): void {
  checkRoute({ file: configFile, path: 'via', via }, configFile, proxies, collect)
  for (const { resolver, path } of resolvers) {
    const own = resolver.via
    if (own !== undefined) checkRoute({ file: setFile, path: `${path}.via`, via: own }, configFile, proxies, collect)
    checkOnions({ file: setFile, path }, resolver, own ?? via, proxies, collect)
  }
}

function checkRoute({ file, path, via }: Written, configFile: string, proxies: ConfigFile['proxies'], collect: CollectProblem): void {
  for (const [i, name] of via.entries()) {
    const proxy = proxyCalled(name, proxies)
    const no = (message: string) => void collect({ file, path: `${path}[${i}]`, message })
    if (proxy === undefined) {
      const known = Object.keys(proxies)
      const fix = known.length === 0 ? `add it there` : `add it there or name one of: ${known.slice(0, 20).join(', ')}`
      no(`${quoted(name)} is not among "proxies" of ${configFile}; ${fix}`)
    } else if (i === 0 && isIP(hostOf(proxy)) === 0)
      no(
        `${quoted(name)} is the first proxy, and its address is the name ${quoted(hostOf(proxy))}, which would need a lookup in cleartext; write its IP address, or another proxy before it`,
      )
    else if (i > 0 && hostOf(proxy).includes('%'))
      no(`${quoted(name)} has a link-local address, which the proxy before it cannot use; write a global address`)
  }
}

/**
 * Checks onion addresses: the last hop must be Tor. Any other proxy would look up the name in DNS.
 */
function checkOnions(
  { file, path }: { readonly file: string; readonly path: string },
  { id, addresses }: TrustedResolver,
  via: readonly string[],
  proxies: ConfigFile['proxies'],
  collect: CollectProblem,
): void {
  const last = via.at(-1)
  if (last !== undefined && proxyCalled(last, proxies)?.type !== 'http-connect') return
  for (const [i, address] of addresses.entries()) {
    if (!isOnion(address)) continue
    const why =
      last === undefined
        ? `is an onion service, and ${quoted(id)} is reached directly; name Tor in "via"`
        : `is an onion service, and the last proxy on the way to ${quoted(id)} is ${quoted(last)}, which is not Tor; let "via" end with Tor ("type": "socks5")`
    collect({ file, path: `${path}.addresses[${i}]`, message: why })
  }
}

function proxyCalled(name: string, proxies: ConfigFile['proxies']): ProxyConfig | undefined {
  return Object.hasOwn(proxies, name) ? proxies[name] : undefined
}

const hostOf = ({ address }: ProxyConfig) => parsePlace(address)?.host ?? ''
