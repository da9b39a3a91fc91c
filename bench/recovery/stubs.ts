import { join } from 'node:path'
import { FAULT_SERVER_NAME } from '../../test/support/faults/server.ts'
import { faultEntry } from '../../test/support/faults/trusted.ts'
import { ROOT } from '../compiled.ts'

/** What a stub is to be: a forwarder over TLS to the resolvers at `upstreams` on loopback, in that order. */
export interface StubWish {
  readonly dir: string
  readonly port: number
  readonly upstreams: readonly number[]
  readonly caFile: string
}

/** A stub whose recovery is measured; its settings are its own defaults wherever they bear on recovery. */
export interface Stub {
  readonly id: string
  readonly tool: string
  readonly version: { readonly args: readonly string[]; readonly pattern: RegExp } | undefined
  readonly args: (wish: StubWish) => readonly string[]
  readonly files: (wish: StubWish) => Readonly<Record<string, string>>
}

const ours: Stub = {
  id: 'enigm-dns',
  tool: process.execPath,
  version: undefined,
  args: ({ dir }) => [join(ROOT, 'dist', 'main.js'), 'run', '--config', join(dir, 'config.json')],
  files: ({ dir, port, upstreams }) => ({
    'config.json': JSON.stringify({
      shaping: { profile: 'off' },
      log: { level: 'warn' },
      listen: [`127.0.0.1:${port}`],
      resolvers: 'resolvers.json',
      statusFile: join(dir, 'status.json'),
      stateDir: join(dir, 'state'),
    }),
    'resolvers.json': JSON.stringify({ version: 1, resolvers: upstreams.map((at, i) => faultEntry(`fault${i + 1}`, 'dot', at)) }),
  }),
}

const unbound: Stub = {
  id: 'unbound',
  tool: 'unbound',
  version: { args: ['-V'], pattern: /Version (\S+)/ },
  args: ({ dir }) => ['-d', '-c', `${dir}/unbound.conf`],
  files: ({ dir, port, upstreams, caFile }) => ({
    'unbound.conf': `
server:
  directory: "${dir}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 0
  interface: 127.0.0.1@${port}
  num-threads: 1
  module-config: "iterator"
  qname-minimisation: no
  do-not-query-localhost: no
  do-ip6: no
  tls-cert-bundle: "${caFile}"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-tls-upstream: yes
${upstreams.map((at) => `  forward-addr: 127.0.0.1@${at}#${FAULT_SERVER_NAME}`).join('\n')}
`,
  }),
}

const stubby: Stub = {
  id: 'stubby',
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

/** `maxInFlight`: queries on one connection before the first is answered; off by default, and asked for by whoever wants throughput. */
const dnsdist = (id: string, maxInFlight: number): Stub => ({
  id,
  tool: 'dnsdist',
  version: { args: ['--version'], pattern: /dnsdist (\S+)/ },
  args: ({ dir }) => ['--supervised', '--disable-syslog', '-C', `${dir}/dnsdist.conf`],
  files: ({ port, upstreams, caFile }) => ({
    'dnsdist.conf': `
setSecurityPollSuffix("")
setACL({"127.0.0.0/8"})
setLocal("127.0.0.1:${port}")
setServerPolicy(firstAvailable)
${upstreams.map((at, i) => `newServer({address="127.0.0.1:${at}", order=${i + 1}, tls="openssl", caStore="${caFile}", subjectName="${FAULT_SERVER_NAME}", validateCertificates=true${maxInFlight > 0 ? `, maxInFlight=${maxInFlight}` : ''}})`).join('\n')}
`,
  }),
})

/** Ours first, then the others. */
export const STUBS: readonly Stub[] = [ours, unbound, stubby, dnsdist('dnsdist', 0), dnsdist('dnsdist pipelined', 1000)]
