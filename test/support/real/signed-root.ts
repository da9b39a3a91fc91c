import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Identity, type RealServer, runServer } from './server-process.ts'
import { pathOf } from './tools.ts'

/** A signed root on loopback, over plain DNS, DoT and DoH, and what a validator must trust. */
export interface SignedRoot {
  readonly server: RealServer
  /**
   * The root's key-signing key as a DS record in presentation form: "TAG ALGORITHM DIGESTTYPE
   * DIGEST".
   */
  readonly anchor: string
  /** Every question that came, as "name TYPE" in lower case; the query log of the server. */
  asked(): readonly string[]
}

const SOA = 'SOA ns.signed.example. hostmaster.signed.example. 1 7200 3600 1209600 900'

/** Zones by name; `unsigned` is delegated without a DS, as the real arpa. delegates home.arpa. */
const ZONES: Readonly<Record<string, string>> = {
  'signed.example': `$TTL 3600\n@ IN ${SOA}\n@ IN NS ns\nns IN A 127.0.0.1\nwww IN A 192.0.2.80\n`,
  arpa: `$TTL 3600\n@ IN ${SOA}\n@ IN NS ns.signed.example.\n${['home', 'resolver', 'service', '10.in-addr', '168.192.in-addr', 'd.f.ip6']
    .map((name) => `${name} IN NS ns.signed.example.`)
    .join('\n')}\n`,
  '.': `$TTL 86400\n@ IN ${SOA}\n@ IN NS ns.signed.example.\n${[
    'aaa',
    'arpa',
    'com',
    'insecure',
    'my',
    'mz',
    'na',
    'net',
    'signed.example',
    'zw',
  ]
    .map((name) => `${name} IN NS ns.signed.example.`)
    .join('\n')}\nns.signed.example. IN A 127.0.0.1\n`,
}

/**
 * Signs the zones with keys made for this call (children first: their DS goes into the root), and
 * serves them. `nsec3` signs the root so.
 */
export async function startSignedRoot(identity: Identity, { nsec3 = false } = {}): Promise<SignedRoot> {
  const made = mkdtempSync(join(tmpdir(), 'enigm-dns-signed-'))
  const files = signAll(made, nsec3)
  let log = ''
  const server = await runServer(
    {
      tool: 'named',
      doh: true,
      files: ({ dir, dnsPort, dotPort, dohPort }) => {
        log = join(dir, 'queries.log')
        return {
          ...files,
          'named.conf': `
tls t { cert-file "${dir}/cert.pem"; key-file "${dir}/key.pem"; };
http h { endpoints { "/dns-query"; }; };
logging { channel q { file "${log}"; severity info; }; category queries { q; }; category default { default_stderr; }; };
options {
  directory "${dir}"; pid-file none; session-keyfile "${dir}/session.key"; managed-keys-directory "${dir}";
  listen-on port ${dnsPort} { 127.0.0.1; };
  listen-on port ${dotPort} tls t { 127.0.0.1; };
  listen-on port ${dohPort} tls t http h { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion no; allow-query { any; }; dnssec-validation no; notify no; querylog yes;
};
controls { };
${Object.keys(ZONES)
  .map((zone) => `zone "${zone}" { type primary; file "${fileOf(zone)}.signed"; };`)
  .join('\n')}
`,
        }
      },
      // Not -g, by which every log goes to stderr.
      args: ({ dir }) => ['-f', '-c', `${dir}/named.conf`, '-n', '1'],
    },
    identity,
  )
  const anchor = dsIn(readFileSync(join(made, 'dsset-.'), 'utf8'))
  rmSync(made, { recursive: true, force: true })
  const asked = () =>
    Array.from(readFileSync(log, 'utf8').matchAll(/query: (\S+) IN (\S+)/g), ([, name, type]) => `${name} ${type}`.toLowerCase())
  return { server, anchor, asked }
}

const fileOf = (zone: string) => (zone === '.' ? 'root' : zone)

function signAll(dir: string, nsec3: boolean): Readonly<Record<string, string>> {
  const run = (tool: 'dnssec-keygen' | 'dnssec-signzone', ...args: readonly string[]) =>
    execFileSync(pathOf(tool) ?? tool, args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] })
  for (const [zone, text] of Object.entries(ZONES)) {
    writeFileSync(join(dir, fileOf(zone)), text)
    for (const flags of [['-f', 'KSK'], []]) run('dnssec-keygen', '-a', 'ECDSAP256SHA256', ...flags, zone)
    run('dnssec-signzone', '-S', '-g', '-d', dir, '-o', zone, ...(nsec3 && zone === '.' ? ['-3', '-'] : []), fileOf(zone))
  }
  const signed = readdirSync(dir).filter((file) => file.endsWith('.signed'))
  return Object.fromEntries(signed.map((file) => [file, readFileSync(join(dir, file), 'utf8')]))
}

/** "TAG ALGORITHM DIGESTTYPE DIGEST" of the first DS in a dsset file. */
function dsIn(text: string): string {
  const found = /IN DS (\d+) (\d+) (\d+) ([0-9A-F ]+)/.exec(text)
  if (found === null) throw new Error(`no DS in ${text}`)
  const [, tag, algorithm, type, digest = ''] = found
  return [tag, algorithm, type, digest.replaceAll(' ', '')].join(' ')
}
