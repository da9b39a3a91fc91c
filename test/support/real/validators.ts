import { type RealServer, type Recipe, runServer } from './server-process.ts'
import { forwardAll, unboundArgs, unboundConfig } from './unbound.ts'

/** Validating forwarders as people put them before a stub resolver. */
export const VALIDATORS = ['named', 'unbound', 'dnsmasq'] as const
export type Validator = (typeof VALIDATORS)[number]

const NOBODY = { key: '', cert: '' }

/**
 * A validating forwarder that sends everything to 127.0.0.1:`port` and trusts `anchor` (a DS of the
 * root). What each of them would answer by itself is switched off, so that every name reaches what
 * stands behind it.
 */
export function startValidator(kind: Validator, port: number, anchor: string): Promise<RealServer> {
  return runServer(RECIPES[kind](port, anchor), NOBODY)
}

const LOCAL = [
  'localhost.',
  'test.',
  'invalid.',
  'onion.',
  'home.arpa.',
  'resolver.arpa.',
  'service.arpa.',
  '127.in-addr.arpa.',
  '10.in-addr.arpa.',
]

const RECIPES: Readonly<Record<Validator, (port: number, anchor: string) => Recipe>> = {
  named: (port, anchor) => {
    const [tag, algorithm, type, digest] = anchor.split(' ')
    return {
      tool: 'named',
      doh: false,
      plain: true,
      files: ({ dir, dnsPort }) => ({
        'named.conf': `
options {
  directory "${dir}"; pid-file none; session-keyfile "${dir}/session.key"; managed-keys-directory "${dir}";
  listen-on port ${dnsPort} { 127.0.0.1; }; listen-on-v6 { none; };
  recursion yes; allow-query { any; }; empty-zones-enable no;
  forward only; forwarders { 127.0.0.1 port ${port}; };
  dnssec-validation yes;
};
trust-anchors { . static-ds ${tag} ${algorithm} ${type} "${digest}"; };
controls { };
`,
      }),
      args: ({ dir }) => ['-g', '-c', `${dir}/named.conf`, '-n', '1'],
    }
  },
  unbound: (port, anchor) => ({
    tool: 'unbound',
    doh: false,
    plain: true,
    files: ({ dir, dnsPort }) => ({
      'unbound.conf': unboundConfig({
        dir,
        port: dnsPort,
        trustAnchor: `. DS ${anchor}`,
        server: ['unblock-lan-zones: yes', ...LOCAL.map((zone) => `local-zone: "${zone}" nodefault`)],
        zones: forwardAll([port]),
      }),
    }),
    args: ({ dir }) => unboundArgs(dir),
  }),
  dnsmasq: (port, anchor) => ({
    tool: 'dnsmasq',
    doh: false,
    plain: true,
    files: ({ dnsPort }) => ({
      'dnsmasq.conf': `
port=${dnsPort}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
server=127.0.0.1#${port}
dnssec
trust-anchor=.,${anchor.replaceAll(' ', ',')}
`,
    }),
    args: ({ dir }) => ['-k', '-u', 'root', '-C', `${dir}/dnsmasq.conf`, '--pid-file=', '--log-facility=-'],
  }),
}
