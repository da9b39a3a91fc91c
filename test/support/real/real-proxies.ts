import type { Login } from '../../../src/link/dial/hops.ts'
import type { ProxyKind } from '../../../src/route.ts'
import { type Identity, type Place, type RealServer, runServer } from './server-process.ts'
import type { Tool } from './tools.ts'

/** A proxy from Debian on loopback. */
export interface RealProxy extends RealServer {
  readonly type: ProxyKind
  readonly port: number
}

interface ProxyRecipe {
  readonly type: ProxyKind
  readonly forks?: true
  files(at: Place, login: Login | undefined): Readonly<Record<string, string>>
  args(at: Place, login: Login | undefined): readonly string[]
}

const BY_NAME = {
  microsocks: {
    type: 'socks5',
    files: () => ({}),
    args: ({ dnsPort }, login) => [
      ...['-i', '127.0.0.1', '-p', String(dnsPort)],
      ...(login === undefined ? [] : ['-u', login.username, '-P', login.password]),
    ],
  },
  danted: {
    type: 'socks5',
    forks: true,
    files: ({ dnsPort }) => ({
      'danted.conf': `
logoutput: stderr
internal: 127.0.0.1 port = ${dnsPort}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: nobody
client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
`,
    }),
    args: ({ dir }) => ['-f', `${dir}/danted.conf`],
  },
  tinyproxy: {
    type: 'http-connect',
    files: ({ dnsPort }, login) => ({
      'tinyproxy.conf': `
Port ${dnsPort}
Listen 127.0.0.1
Timeout 600
MaxClients 50
LogLevel Critical
${login === undefined ? '' : `BasicAuth ${login.username} ${login.password}`}
`,
    }),
    args: ({ dir }) => ['-d', '-c', `${dir}/tinyproxy.conf`],
  },
  squid: {
    type: 'http-connect',
    files: ({ dnsPort }) => ({
      'squid.conf': `
http_port 127.0.0.1:${dnsPort}
pid_filename none
access_log none
cache_log /dev/null
cache deny all
http_access allow all
shutdown_lifetime 0 seconds
pinger_enable off
`,
    }),
    args: ({ dir }) => ['-N', '-d', '1', '-f', `${dir}/squid.conf`],
  },
} as const satisfies Partial<Record<Tool, ProxyRecipe>>

export type ProxyProgram = keyof typeof BY_NAME
export const PROXY_PROGRAMS = Object.keys(BY_NAME) as readonly ProxyProgram[]

/** Starts one; `login`: the only user that it accepts, where its recipe has users. */
export async function startRealProxy(
  tool: ProxyProgram,
  identity: Identity,
  login?: Login,
  more: readonly string[] = [],
): Promise<RealProxy> {
  const recipe: ProxyRecipe = BY_NAME[tool]
  const server = await runServer(
    {
      tool,
      doh: false,
      plain: true,
      ...(recipe.forks && { forks: true }),
      files: (at) => recipe.files(at, login),
      args: (at) => [...recipe.args(at, login), ...more],
    },
    identity,
  )
  return { ...server, type: recipe.type, port: server.dnsPort }
}
