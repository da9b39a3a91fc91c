import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import type { Authority } from '../../src/demo/authority.ts'
import type { Protocol } from '../../test/support/faults/fault.ts'
import { FAULT_SERVER_NAME, type FaultServer } from '../../test/support/faults/server.ts'
import { faultEntry } from '../../test/support/faults/trusted.ts'
import { freePort } from '../../test/support/real/server-process.ts'
import { forwardAll, unboundArgs, unboundConfig } from '../../test/support/real/unbound.ts'
import { type Asker, askerAt } from '../chaos/asker.ts'
import { CORE, end, newPlace, pathOf, start } from '../children.ts'
import { ROOT } from '../compiled.ts'

/**
 * What a stub is to be: a forwarder over `over` to the resolvers at `upstreams` on loopback, in
 * that order.
 */
export interface StubWish {
  readonly over: Protocol
  readonly dir: string
  readonly port: number
  readonly upstreams: readonly number[]
  readonly caFile: string
}

/**
 * A stub whose recovery is measured; its settings are its own defaults wherever they bear on
 * recovery.
 */
export interface Stub {
  readonly id: string
  /** What it can carry queries over. */
  readonly carries: readonly Protocol[]
  readonly tool: string
  readonly version: { readonly args: readonly string[]; readonly pattern: RegExp } | undefined
  readonly args: (wish: StubWish) => readonly string[]
  readonly files: (wish: StubWish) => Readonly<Record<string, string>>
}

const ours: Stub = {
  id: 'enigm-dns',
  carries: ['dot', 'h2', 'h1'],
  tool: process.execPath,
  version: undefined,
  args: ({ dir }) => [join(ROOT, 'dist', 'main.js'), 'run', '--config', join(dir, 'config.json')],
  files: ({ dir, port, upstreams, over }) => ({
    'config.json': JSON.stringify({
      shaping: { profile: 'off' },
      log: { level: 'warn' },
      listen: [`127.0.0.1:${port}`],
      resolvers: 'resolvers.json',
      statusFile: join(dir, 'status.json'),
      stateDir: join(dir, 'state'),
    }),
    'resolvers.json': JSON.stringify({ version: 1, resolvers: upstreams.map((at, i) => faultEntry(`fault${i + 1}`, over, at)) }),
  }),
}

const unbound: Stub = {
  id: 'unbound',
  carries: ['dot'],
  tool: 'unbound',
  version: { args: ['-V'], pattern: /Version (\S+)/ },
  args: ({ dir }) => unboundArgs(dir),
  files: ({ dir, port, upstreams, caFile }) => ({
    'unbound.conf': unboundConfig({
      dir,
      port,
      server: ['verbosity: 0', 'qname-minimisation: no', `tls-cert-bundle: "${caFile}"`],
      zones: forwardAll(upstreams, FAULT_SERVER_NAME),
    }),
  }),
}

const stubby: Stub = {
  id: 'stubby',
  carries: ['dot'],
  tool: 'stubby',
  version: { args: ['-V'], pattern: /Stubby (\S+)/ },
  args: ({ dir }) => ['-C', `${dir}/stubby.yml`],
  files: ({ dir, port, upstreams, caFile }) => ({
    'stubby.yml': `
resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list:
  - GETDNS_TRANSPORT_TLS
tls_authentication: GETDNS_AUTHENTICATION_REQUIRED
tls_query_padding_blocksize: 128
tls_ca_file: "${caFile}"
edns_client_subnet_private: 1
round_robin_upstreams: 0
idle_timeout: 10000
appdata_dir: "${dir}"
listen_addresses:
  - 127.0.0.1@${port}
upstream_recursive_servers:
${upstreams.map((at) => `  - address_data: 127.0.0.1\n    tls_port: ${at}\n    tls_auth_name: "${FAULT_SERVER_NAME}"`).join('\n')}
`,
  }),
}

/**
 * `maxInFlight`: queries on one connection before the first is answered; off by default, and asked
 * for by whoever wants throughput.
 */
const dnsdist = (id: string, maxInFlight: number): Stub => ({
  id,
  carries: ['dot', 'h2'],
  tool: 'dnsdist',
  version: { args: ['--version'], pattern: /dnsdist (\S+)/ },
  args: ({ dir }) => ['--supervised', '--disable-syslog', '-C', `${dir}/dnsdist.conf`],
  files: ({ port, upstreams, caFile, over }) => ({
    'dnsdist.conf': `
setSecurityPollSuffix("")
setACL({"127.0.0.0/8"})
setLocal("127.0.0.1:${port}")
setServerPolicy(firstAvailable)
${upstreams.map((at, i) => `newServer({address="127.0.0.1:${at}", order=${i + 1}, tls="openssl", caStore="${caFile}", subjectName="${FAULT_SERVER_NAME}", validateCertificates=true${over === 'h2' ? ', dohPath="/dns-query"' : ''}${maxInFlight > 0 ? `, maxInFlight=${maxInFlight}` : ''}})`).join('\n')}
`,
  }),
})

/** Ours first, then the others. */
export const STUBS: readonly Stub[] = [ours, unbound, stubby, dnsdist('dnsdist', 0), dnsdist('dnsdist pipelined', 1000)]

/** A stub that runs. */
export interface RunningStub {
  readonly asker: Asker
  stop(): Promise<void>
}

export const isInstalled = ({ tool }: Stub) => isAbsolute(tool) || pathOf(tool) !== undefined

/**
 * Starts `stub` before `servers`, which speak one protocol; resolves once a first name is answered.
 */
export async function startStub(stub: Stub, servers: readonly FaultServer[], authority: Authority): Promise<RunningStub> {
  const dir = newPlace('stub')
  const caFile = join(dir, 'ca.pem')
  const over = servers[0]?.protocol ?? 'dot'
  const wish = { dir, over, port: await freePort(), upstreams: servers.map(({ port }) => port), caFile }
  for (const [name, text] of Object.entries({ 'ca.pem': authority.certificate, ...stub.files(wish) }))
    writeFileSync(join(dir, name), text, { mode: 0o600 })
  const tool = isAbsolute(stub.tool) ? stub.tool : (pathOf(stub.tool) ?? stub.tool)
  const child = start(CORE.server, tool, stub.args(wish), { cwd: dir, stdio: 'ignore', env: plainEnvironment() })
  const asker = await askerAt(wish.port)
  const stop = async () => {
    asker.close()
    await end(child)
  }
  try {
    await asker.firstAnswer(20_000, 50)
    return { asker, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** As it says itself; `of this commit` for ours. */
export function versionOf({ version, tool }: Stub): string {
  if (version === undefined) return 'of this commit'
  const { stdout, stderr } = spawnSync(pathOf(tool) ?? tool, version.args, { encoding: 'utf8', timeout: 5000 })
  return version.pattern.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown'
}

/** As a service manager would start it. */
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE_|npm_)/.test(name)))
}
