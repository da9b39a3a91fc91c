import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

/** The sources of the tests, from test/ and from build/test/ alike. */
const root = (function up(from: string): string {
  return readdirSync(from).includes('package.json') ? join(from, 'test') : up(dirname(from))
})(dirname(fileURLToPath(import.meta.url)))

/** A test: its file, and words that its name (or the row of its table) holds. */
type Named = readonly [file: string, words: string]

/** Every class of failure seen in the field, and the tests that stand against it. */
const CLASSES: Readonly<Record<string, readonly Named[]>> = {
  'ID, port, question or case mismatch (DNSpooq)': [
    ['link/carriers/dot.test.ts', 'unmatched replies are ignored and counted, and the wait continues'],
    ['link/carriers/dot.test.ts', 'another case in the name matches'],
    ['link/carriers/doh.test.ts', "'another ID'"],
    ['e2e/hostile-upstream.test.ts', "'wrong-id'"],
  ],
  'one bad packet ends the wait (TuDoor)': [
    ['link/carriers/dot.test.ts', 'unmatched replies are ignored and counted, and the wait continues'],
    ['e2e/hostile-upstream.test.ts', "'wrong-question'"],
    ['link/carriers/dot.test.ts', 'a frame too short for a message is ignored: the next answer arrives, on the same connection'],
  ],
  'a reply without its question': [
    ['link/carriers/dot.test.ts', 'a question that is cut off or malformed is none: its query fails at once'],
    ['e2e/edges.test.ts', 'a reply without its question fails its query at once'],
  ],
  'weak randomness': [['architecture.test.ts', 'time and chance come through clock.ts']],
  'unsolicited records (MaginotDNS)': [['e2e/hostile-upstream.test.ts', 'what stood beside an answer about another name was not taken']],
  'duplicate in-flight, ECS': [
    ['responder.test.ts', 'identical questions in flight share one upstream query'],
    ['e2e/hostile-upstream.test.ts', 'a client subnet and a cookie of the client are not forwarded (CVE-2025-5994)'],
  ],
  'client EDNS smuggled upstream': [
    ['dns/query-scan.test.ts', 'two OPTs (CVE-2026-42004)'],
    ['e2e/hostile-upstream.test.ts', 'a client subnet and a cookie of the client are not forwarded (CVE-2025-5994)'],
  ],
  'pointer loops, record bounds, counts (RFC 9267)': [
    ['dns/name.test.ts', 'chains of pointers are bounded, and so is the time for 64 KiB of them'],
    ['dns/response.test.ts', 'the worst 64 KiB is walked in under 50 ms'],
    ['dns/response.test.ts', 'any octets after a header: accepted or reply-malformed, nothing else'],
    ['dns/rdata-names.test.ts', ': valid names pass, invalid ones are malformed'],
  ],
  'compression blow-up': [['dns/response.test.ts', '8,000 chained pointers, and 4,125 names at the end of the chain']],
  'KeyTrap, NSEC3: nothing is validated here': [
    ['dns/response.test.ts', 'AD is kept only from an authenticated link'],
    ['upstream/verdict.test.ts', 'a SERVFAIL with a DNSSEC error is final'],
  ],
  'resend loop': [
    ['upstream/selection-property.test.ts', 'at most 3 learn a name, it settles by the deadline'],
    ['link/on-demand.test.ts', 'refused unprocessed, it moves on; a limited number of times'],
  ],
  'pulsing (DNSBomb)': [
    ['link/carriers/dot.test.ts', 'a late reply to a query that ran out of time is neither an answer nor a mismatch'],
    ['responder.test.ts', 'too many waiters fail at once'],
  ],
  'failure caching (RFC 9520)': [
    ['e2e/hostile-upstream.test.ts', 'FAILURE_KEPT_MS'],
    ['responder.test.ts', 'an internal failure is a SERVFAIL with an EDE, and is never kept for the question'],
  ],
  'unique-name flood': [
    ['cache/answer-cache.test.ts', 'a flood of unique names stays inside the bound'],
    ['cache/answer-cache.test.ts', 'when memory is used up, expired answers are evicted before fresh unused ones ('],
  ],
  'ghost domain': [
    ['cache/answer-cache.test.ts', 'an answer is served for exactly its lifetime'],
    ['dns/response.test.ts', 'RFC 8767: a TTL with the top bit set is capped'],
  ],
  'TCP slowloris, no reader, endless pipelining': [
    ['listen/tcp-limits.test.ts', 'slowloris: octets without a complete query do not extend the time'],
    ['listen/tcp-limits.test.ts', 'a client that never reads: reading stops'],
    ['listen/tcp-limits.test.ts', 'queries beyond the limit stay in the network'],
  ],
  'client closes without reading': [['listen/tcp.test.ts', 'a client that disconnects mid-answer is freed, and the others are answered']],
  'UDP size': [
    ['responder.test.ts', 'an answer larger than the client accepts becomes header, question and OPT with TC'],
    ['listen/tcp.test.ts', 'up to 65,535 octets'],
    ['e2e/edges.test.ts', 'workers: answers of up to 65,535 octets are whole over TCP, from upstream and from the cache'],
  ],
  'no question, QR=1, NOTIFY, UPDATE, odd class': [
    ['dns/query-scan.test.ts', "'no question'"],
    ['e2e/edges.test.ts', 'IXFR is REFUSED over UDP and TCP'],
    ['dns/query-scan.test.ts', 'QR=1: silence'],
    ['dns/query-scan.test.ts', 'NOTIFY (RFC 1996)'],
    ['dns/query-scan.test.ts', 'UPDATE (RFC 2136)'],
    ['dns/query-scan.test.ts', 'class CH'],
    ['e2e/load.test.ts', "'garbage'"],
  ],
  'HTTP/2 floods and malformed headers': [
    ['link/carriers/h2/frames.test.ts', 'floods of every cheap frame end in ENHANCE_YOUR_CALM'],
    ['link/carriers/h2/response-head.test.ts', 'malformed responses'],
    ['link/carriers/doh-h2.test.ts', ': octets that are not HTTP/2, malformed frames: only the session ends'],
    ['link/carriers/doh-h2.test.ts', 'push is off, and a pushed stream harms nothing'],
  ],
  'GOAWAY, stall': [
    ['link/carriers/doh-h2.test.ts', 'GOAWAY with last-id 0: every query moves to one new session'],
    ['link/silence-detector.test.ts', 'half-open'],
    ['link/carriers/h2/carrier.test.ts', 'PING is answered with its octets, and a probe is answered'],
  ],
  'redirect, odd status, wrong type, oversize': [
    ['link/carriers/doh.test.ts', "'a redirect'"],
    ['link/carriers/doh.test.ts', "'a wrong type'"],
    ['link/carriers/doh.test.ts', "'65,536 octets'"],
    ['e2e/hostile-upstream.test.ts', 'redirect: () => 2'],
  ],
  'compression bomb': [
    ['link/carriers/doh.test.ts', "'gzip'"],
    ['e2e/hostile-upstream.test.ts', 'gzip: () => 2'],
  ],
  'certificate expired, wrong name, self-signed, pin mismatch': [
    ['link/dial/connect.test.ts', 'a certificate error ends the dial with its code, before the server has one octet of DNS'],
    ['e2e/strict.test.ts', 'the right resolver is accepted, with its pin'],
    ['e2e/chaos.test.ts', 'certificate-expired'],
  ],
  'clock wrong at boot': [
    ['link/dial/connect.test.ts', "'certificate-not-yet-valid'"],
    ['link/on-demand.test.ts', 'a change of the wall clock ends the wait after a certificate that was not yet valid'],
  ],
  'bootstrap loop': [
    ['config/trusted-set.test.ts', 'the shipped set: valid, with sources, and no resolver enabled that logs or sends client subnets'],
  ],
  'network change, suspend': [
    [
      'link/on-demand.test.ts',
      'renew: connections and sessions are dropped, queries in flight move on, a dial in progress restarts, no backoff remains',
    ],
    ['system/network-watch.test.ts', 'changes reported by the kernel are passed on at once; a repeated one only once'],
    ['system/network-monitor.test.ts', 'after a suspend the first packet notices'],
    ['e2e/chaos.test.ts', 'sigstop'],
  ],
  rebinding: [
    ['local-names/rebinding.test.ts', 'IPv4: private blocks, to the last address of each'],
    ['local-names/rebinding.test.ts', 'the stage'],
  ],
  'log and status injection': [
    ['commands/status.test.ts', 'text from the file does not control the terminal'],
    ['dns/presentation.test.ts', 'every text is printable ASCII'],
    ['posture/document.test.ts', 'no address of a peer and no detail of a fault gets into the document'],
  ],
  'crash by upstream': [
    ['link/carriers/h2/fuzz.test.ts', 'for any octets from a resolver: nothing throws, and every request is settled once'],
    ['link/carriers/dot.test.ts', 'for any octets from a resolver, a query ends with an answer or a code, by its deadline'],
    ['fuzz/corpus.test.ts', ': every input that once reached new code, or found a bug, passes'],
  ],
}

for (const [what, tests] of Object.entries(CLASSES))
  t.test(what, async (t) => {
    t.ok(tests.length > 0, 'something stands against it')
    for (const [file, words] of tests) t.ok(readFileSync(join(root, file), 'utf8').includes(words), `${file}: ${words}`)
  })
