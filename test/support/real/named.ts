import { type Identity, type RealServer, runServer } from './server-process.ts'
import { ROOT_FILE, ZONE_FILE, ZONE_NAME } from './zone.ts'

/**
 * BIND: the authority for zone.example, over plain DNS, DoT and DoH. broken.example is a zone that
 * does not load: SERVFAIL. Answers keep the order of the zone, which may be another one.
 */
export function startNamed(identity: Identity, { zone = ZONE_FILE } = {}): Promise<RealServer> {
  return runServer(
    {
      tool: 'named',
      doh: true,
      files: ({ dir, dnsPort, dotPort, dohPort }) => ({
        'zone.example.db': zone,
        'root.db': ROOT_FILE,
        'broken.db': 'this is not a zone\n',
        'named.conf': `
tls t { cert-file "${dir}/cert.pem"; key-file "${dir}/key.pem"; };
http h { endpoints { "/dns-query"; }; };
options {
  directory "${dir}"; pid-file none; session-keyfile "${dir}/session.key"; managed-keys-directory "${dir}";
  listen-on port ${dnsPort} { 127.0.0.1; };
  listen-on port ${dotPort} tls t { 127.0.0.1; };
  listen-on port ${dohPort} tls t http h { 127.0.0.1; };
  listen-on-v6 { none; };
  recursion no; allow-query { any; }; minimal-responses no; dnssec-validation no; notify no;
  rrset-order { order none; };
  response-padding { any; } block-size 468;
  tcp-clients 1000;
};
controls { };
zone "." { type primary; file "root.db"; };
zone "${ZONE_NAME}" { type primary; file "zone.example.db"; check-names ignore; };
zone "broken.example" { type primary; file "broken.db"; };
`,
      }),
      args: ({ dir }) => ['-g', '-c', `${dir}/named.conf`, '-n', '1'],
    },
    identity,
  )
}
