import t from 'tap'
import { parseZone, type Zone, zoneOf } from '../../src/demo/zone.ts'
import { rcodeOf } from '../../src/dns/message.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { RecordCursor } from '../../src/dns/records.ts'

const zone = zoneOf(
  parseZone(`$ORIGIN o.example.
$TTL 60
@ SOA n h 1 2 3 4 5
. NS n
www A 192.0.2.1
www A 192.0.2.2
alias CNAME other
other CNAME www
away CNAME www.elsewhere.example.
loop CNAME loop
deep.down A 192.0.2.3`),
)

function ask(z: Zone, name: string, type: number) {
  const wire = Uint8Array.of(...nameFromText(name), type >> 8, type & 255, 0, 1)
  const reply = z.answer({ lower: wire, type, class: 1 })
  const cursor = new RecordCursor(reply)
  const seen: string[] = []
  while (cursor.next()) seen.push(`${cursor.section}:${cursor.type}`)
  t.notOk(cursor.malformed, 'a whole message')
  return { rcode: rcodeOf(reply), seen }
}

t.strictSame(ask(zone, 'www.o.example', 1), { rcode: 0, seen: ['1:1', '1:1'] }, 'an RRset')
t.strictSame(ask(zone, 'www.o.example', 28), { rcode: 0, seen: ['2:6'] }, 'NODATA')
t.strictSame(ask(zone, 'no.o.example', 1), { rcode: 3, seen: ['2:6'] }, 'NXDOMAIN')
t.strictSame(ask(zone, 'down.o.example', 1), { rcode: 0, seen: ['2:6'] }, 'an empty non-terminal exists (RFC 8020)')
t.strictSame(ask(zone, 'alias.o.example', 1), { rcode: 0, seen: ['1:5', '1:5', '1:1', '1:1'] }, 'a chain')
t.strictSame(ask(zone, 'alias.o.example', 5), { rcode: 0, seen: ['1:5'] }, 'the link itself')
t.equal(ask(zone, 'away.o.example', 1).seen[0], '1:5', 'a chain that leaves the zone')
t.equal(ask(zone, 'loop.o.example', 1).seen.filter((s) => s === '1:5').length, 8, 'a loop ends')
t.strictSame(ask(zone, 'elsewhere.example', 1), { rcode: 5, seen: [] }, 'REFUSED outside')
t.strictSame(ask(zone, '.', 2), { rcode: 0, seen: ['1:2'] }, 'the root, which the daemon probes')
