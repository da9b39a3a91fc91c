/**
 * Names below hold what a careless parser gets wrong: octets above 0x7F that decode to one
 * character, a dot inside a label, an answer of 4 kB.
 */
export const ZONE_NAME = 'zone.example'

const BIG_TEXTS = Array.from({ length: 20 }, (_, i) => `big IN TXT "${String(i).padStart(3, '0').repeat(70)}"`).join('\n')
const NUMBERED = Array.from({ length: 250 }, (_, i) => `h${i} IN A 192.0.2.${i}`).join('\n')

/** The zone file of zone.example, the same behind every server. */
export const ZONE_FILE = `$ORIGIN ${ZONE_NAME}.
$TTL 3600
@ IN SOA ns hostmaster 1 7200 3600 1209600 300
@ IN NS ns
@ IN MX 10 mail
@ IN MX 20 mail2
@ IN A 192.0.2.1
@ IN DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
ns IN A 192.0.2.2
mail IN A 192.0.2.3
mail2 IN A 192.0.2.4
www IN A 192.0.2.10
www IN A 192.0.2.11
www IN AAAA 2001:db8::10
www IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.10
www IN TXT "v=1" "two strings"
chain1 IN CNAME chain2
chain2 IN CNAME chain3
chain3 IN CNAME www
dangling IN CNAME nothing-here
srv IN SRV 1 2 443 www
caa IN CAA 0 issue "ca.example"
naptr IN NAPTR 10 10 "u" "E2U+sip" "!^.*$!sip:a@${ZONE_NAME}!" .
unknown IN TYPE65400 \\# 4 DEADBEEF
sshfp IN SSHFP 4 2 ${'ab'.repeat(32)}
ptr IN PTR www
x\\254y IN A 192.0.2.54
x\\255y IN A 192.0.2.55
dot\\.ted IN A 192.0.2.56
dot.ted IN A 192.0.2.57
sp\\032ace IN A 192.0.2.58
a.b.c.d.e IN A 192.0.2.59
*.wild IN A 192.0.2.60
web IN A 127.0.0.1
web IN AAAA ::1
${NUMBERED}
${BIG_TEXTS}
`

/** A root zone, so that \`. NS\`, which every resolver knows, is known without the internet. */
export const ROOT_FILE = `$TTL 3600
. IN SOA ns.${ZONE_NAME}. hostmaster.${ZONE_NAME}. 1 7200 3600 1209600 300
. IN NS ns.${ZONE_NAME}.
example. IN NS ns.${ZONE_NAME}.
`

/** Every kind of answer that a resolver gives: what is asked, by people's names. */
export const QUESTIONS: readonly (readonly [name: string, type: number])[] = [
  [`www.${ZONE_NAME}`, 1],
  [`www.${ZONE_NAME}`, 28],
  [`WwW.ZoNe.ExAmPlE`, 16],
  [`www.${ZONE_NAME}`, 65],
  [ZONE_NAME, 15],
  [ZONE_NAME, 6],
  [ZONE_NAME, 2],
  [ZONE_NAME, 48],
  [`big.${ZONE_NAME}`, 16],
  [`chain1.${ZONE_NAME}`, 1],
  [`chain1.${ZONE_NAME}`, 5],
  [`dangling.${ZONE_NAME}`, 1],
  [`srv.${ZONE_NAME}`, 33],
  [`caa.${ZONE_NAME}`, 257],
  [`naptr.${ZONE_NAME}`, 35],
  [`unknown.${ZONE_NAME}`, 65400],
  [`sshfp.${ZONE_NAME}`, 44],
  [`ptr.${ZONE_NAME}`, 12],
  [`x\\254y.${ZONE_NAME}`, 1],
  [`x\\255y.${ZONE_NAME}`, 1],
  [`dot\\.ted.${ZONE_NAME}`, 1],
  [`dot.ted.${ZONE_NAME}`, 1],
  [`sp\\032ace.${ZONE_NAME}`, 1],
  [`a.b.c.d.e.${ZONE_NAME}`, 1],
  [`b.c.d.e.${ZONE_NAME}`, 1],
  [`anything.wild.${ZONE_NAME}`, 1],
  [`no-such-name.${ZONE_NAME}`, 1],
  [`www.${ZONE_NAME}`, 99],
]
