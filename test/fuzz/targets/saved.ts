import { putSaved, readSaved, type SavedEntry } from '../../../src/cache/saved-records.ts'
import { RecordCursor } from '../../../src/dns/records.ts'
import { loadSaved } from '../../../src/retention/saved-cache.ts'
import { askedInPacket, cacheOf } from '../../support/caches.ts'
import { query, response, rr, soa } from '../../support/messages.ts'
import { must, type Target } from '../target.ts'

const NOW_MS = 1_000_000
const MOMENT = { boot: 'boot', bootMs: NOW_MS, wallMs: Date.UTC(2026, 0, 1) }
const LABEL = { fingerprint: 'f', moment: MOMENT }

/** A chunk as a daemon writes it. */
function chunkOf(...names: readonly string[]): Uint8Array {
  const cache = cacheOf(1 << 20)
  for (const name of names) {
    const wire = response({ name, answers: [rr()], authority: [soa()] })
    cache.put(
      askedInPacket(query({ name })),
      { wire, rcode: 0, storeS: 60, from: { upstream: 'a', transport: 'dot' }, ede: { code: 3 } },
      cache.epoch,
      NOW_MS,
    )
  }
  const out = Buffer.alloc(4096)
  let at = 0
  for (const entry of cache.walk()) at = putSaved(out, at, entry, NOW_MS)
  return Uint8Array.from(out.subarray(0, at))
}

/**
 * The saved cache behind its encryption: what a defect of ours, or somebody with the key, could put
 * there. Input: whether it is a label or a chunk of entries, then it.
 */
export const savedTarget: Target = {
  name: 'saved',
  maxOctets: 65_535,
  seeds: [
    Buffer.concat([Uint8Array.of(1), chunkOf('a.example')]),
    Buffer.concat([Uint8Array.of(1), chunkOf('www.example.com', '.', 'b.example')]),
    Buffer.concat([Uint8Array.of(0), Buffer.from(JSON.stringify(LABEL))]),
  ].map((seed) => Uint8Array.from(seed)),
  timed(input) {
    readSaved(Buffer.from(input.subarray(1)), () => {})
  },
  async run(input) {
    const octets = Buffer.from(input.subarray(1))
    const cache = cacheOf(65_536)
    if ((input[0] ?? 0) % 2 === 1) entriesAreSound(octets)
    const label = Buffer.from(JSON.stringify(LABEL))
    const chunks = (input[0] ?? 0) % 2 === 1 ? [label, octets] : [octets, Buffer.from(chunkOf('a.example'))]
    const loaded = await loadSaved(from(chunks), cache, LABEL, 0)
    must(cache.bytes <= cache.maxBytes, 'the cache keeps its bound')
    must(loaded.outcome === 'loaded' || loaded.outcome === 'damaged' || loaded.outcome === 'foreign', 'one of three outcomes')
    for (const entry of cache.walk()) {
      must(entry.storedAtMs <= NOW_MS && entry.expiresAtMs > NOW_MS, 'what is kept is of the past, and fresh')
    }
  },
}

async function* from(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks
}

function entriesAreSound(octets: Buffer): void {
  const entries: SavedEntry[] = []
  readSaved(octets, (entry) => entries.push(entry))
  for (const { asked, wire, rcode, ageMs } of entries) {
    must(asked.octets === wire && asked.from === 12 && asked.mark >>> 18 === asked.end - 12, 'an answer to its question')
    must(rcode < 4096 && ageMs >= 0, 'an RCODE and an age that can be')
    const cursor = new RecordCursor(wire)
    while (cursor.next());
    must(!cursor.malformed, 'a whole message')
  }
}
