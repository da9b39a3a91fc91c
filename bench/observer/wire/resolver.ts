import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority } from '../../../src/demo/authority.ts'
import { readOpt, withPaddedOpt } from '../../../src/dns/edns.ts'
import { framed } from '../../../src/dns/framing.ts'
import { labelsOf, questionEnd } from '../../../src/dns/name.ts'
import { RARE_COVER_NAMES } from '../../../src/shaping/cover-names.ts'
import { type DotPeer, startDot } from '../../../test/support/dot-server.ts'
import { newPlace } from '../../children.ts'
import { ADDRESS, type Upstream } from '../../upstream/upstream.ts'
import type { Chance } from '../chance.ts'
import { MISS_SHARE } from '../pages.ts'
import { answerMs } from '../resolver-model.ts'

/**
 * A DoT server on loopback that takes as long as a resolver on the network does: the model of the
 * virtual runs. Names of pages miss as often as they do there; those that covers ask for as their
 * list expects it, popular ones hardly ever and rare ones mostly: whether covers are as slow as
 * real queries is the product's to see to.
 */
export interface WireResolver {
  /** What a server under test is to forward to, through a relay on `port`. */
  behind(port: number): Upstream
  readonly port: number
  close(): Promise<void>
}

const NAME = 'resolver.bench.example'
const REPLY_BLOCK = 468
const NX = Buffer.from('\x02nx\x05bench\x07example\x00', 'latin1')

/** Starts it. `onQuery` is told of each query in turn whether a page asked it. */
export async function startWireResolver(chance: Chance, onQuery: (real: boolean) => void = () => {}): Promise<WireResolver> {
  const dir = newPlace('wire')
  const authority = await createAuthority()
  const identity = await authority.issue({ name: NAME, alsoNames: ['127.0.0.1'] })
  const caFile = join(dir, 'ca.pem')
  writeFileSync(caFile, authority.certificate, { mode: 0o600 })
  const cpuNs = () => 0 // it answers in this very process
  const server = await startDot({
    identity,
    answer(query, peer) {
      const share = missShareOf(query)
      onQuery(share === MISS_SHARE)
      setTimeout(() => oneRecord(peer, replyTo(query)), answerMs(share, chance))
      return undefined
    },
  })
  return {
    port: server.port,
    behind: (port) => ({
      kind: 'answer.c',
      dnsPort: port,
      dotPort: port,
      dohPort: port,
      name: NAME,
      caFile,
      ca: authority.certificate,
      cpuNs,
    }),
    close: () => server.close(),
  }
}

const lastWrite = new WeakMap<DotPeer, Promise<void>>()

/** Each reply in a record of its own: Node joins what is written in one turn. */
function oneRecord(peer: DotPeer, reply: Uint8Array): void {
  const before = lastWrite.get(peer) ?? Promise.resolve()
  const written = before.then(
    () => new Promise<void>((resolve) => (peer.socket.destroyed ? resolve() : peer.socket.write(framed(reply), () => resolve()))),
  )
  lastWrite.set(peer, written)
}

const RARE = new Set(RARE_COVER_NAMES)
const COVER_MISS = { rare: 0.6, usual: 0.04 }

function missShareOf(query: Uint8Array): number {
  const name = labelsOf(query.subarray(12)).join('.').toLowerCase()
  if (name.endsWith('.bench.example')) return MISS_SHARE
  return RARE.has(name) ? COVER_MISS.rare : COVER_MISS.usual
}

/**
 * An A record for every A question, but NXDOMAIN below nx.bench.example; padded if and only if the
 * query was (RFC 7830).
 */
function replyTo(query: Uint8Array): Uint8Array {
  const end = questionEnd(query)
  const bare = Buffer.concat([
    query.subarray(0, end),
    Buffer.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, ...ADDRESS.split('.').map(Number)),
  ])
  const isA = query[end - 3] === 1
  const denied = Buffer.from(query.subarray(12, end - 4))
    .toString('latin1')
    .toLowerCase()
    .endsWith(NX.toString('latin1'))
  const message = isA && !denied ? bare : bare.subarray(0, end)
  message[2] = 0x81
  message[3] = denied ? 0x83 : 0x80
  message.set([0, 1, 0, message.length > end ? 1 : 0, 0, 0, 0, 0], 4)
  const opt = readOpt(query)
  if (opt === undefined) return message
  return withPaddedOpt(message, { dnssecOk: opt.dnssecOk, block: opt.padded ? REPLY_BLOCK : 0, keepalive: false })
}
