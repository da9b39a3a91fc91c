import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { readOpt } from '../../src/dns/edns.ts'
import { startDot } from '../support/dot-server.ts'
import { query } from '../support/messages.ts'
import { identityOf, RESOLVER_NAME, startDaemon } from '../support/real/daemon.ts'
import { rcodeOf, udpClient } from '../support/real/dns-client.ts'
import { addressRecord, replyTo } from '../support/replies.ts'

type Says = (asked: Uint8Array) => Uint8Array

/** NXDOMAIN with an SOA: for one second. */
const missing: Says = (asked) => {
  const fields = [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]
  const reply = replyTo(asked, [Uint8Array.of(0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 1, 0, 22, 0, 0, ...fields)], 0x8183)
  // The SOA belongs in the authority section.
  reply.copyWithin(8, 6, 8)
  reply.fill(0, 6, 8)
  return reply
}
const broken: Says = (asked) => replyTo(asked, [], 0x8182)
const withTtl0: Says = (asked) => {
  const record = addressRecord(9)
  record.fill(0, 6, 10)
  return replyTo(asked, [record])
}
const missingWithoutSoa: Says = (asked) => replyTo(asked, [], 0x8183)
const nothingWithoutSoa: Says = (asked) => replyTo(asked)

/**
 * A name that lived for a second with one answer, was answered with another one, failed once, and
 * is asked for again.
 */
async function lived(t: Test, workers: number, older: Says, newer: Says) {
  const authority = await createAuthority()
  let says = older
  const server = await startDot({ identity: await identityOf(authority), answer: (asked) => says(asked) })
  t.teardown(() => server.close())
  const transports = { dot: { port: server.port } }
  const resolver = { id: 'loop', authenticationDomainName: RESOLVER_NAME, addresses: ['127.0.0.1'], transports, caFile: 'ca.pem' }
  const daemon = await startDaemon({ resolvers: [resolver], ca: authority.certificate, config: { workers } })
  t.teardown(() => daemon.stop())
  const client = await udpClient(daemon.port)
  t.teardown(() => client.close())
  const ask = async () => {
    const reply = await client.ask(query({ name: 'back.example', opt: {} }))
    return { rcode: rcodeOf(reply), ede: readOpt(reply)?.ede?.code }
  }
  const before = await ask()
  await sleep(1100)
  says = newer
  const after = await ask()
  says = broken
  const failed = await ask()
  says = newer
  await sleep(2100)
  return { before, after, failed, later: [await ask(), await ask()] }
}

t.test('an answer that may not be stored invalidates an older one, whichever thread asked', async (t) => {
  const one = async (workers: number, newer: Says) => {
    const seen = await lived(t, workers, missing, newer)
    const good = { rcode: newer === missingWithoutSoa ? 3 : 0, ede: undefined }
    t.strictSame(seen, { before: { rcode: 3, ede: undefined }, after: good, failed: { rcode: 2, ede: undefined }, later: [good, good] })
  }
  for (const workers of [1, 2]) await Promise.all([withTtl0, missingWithoutSoa, nothingWithoutSoa].map((newer) => one(workers, newer)))
})
