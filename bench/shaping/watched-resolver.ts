import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createAuthority } from '../../src/demo/authority.ts'
import { questionEnd, textFromName } from '../../src/dns/name.ts'
import { startDot } from '../../test/support/dot-server.ts'
import { optRecord } from '../../test/support/messages.ts'
import { RESOLVER_NAME } from '../../test/support/real/daemon.ts'
import { addressRecord, replyTo } from '../../test/support/replies.ts'
import { newPlace, output } from '../children.ts'
import type { Chance } from '../observer/chance.ts'
import type { Cell } from './micro-timing.ts'

/** Names below it are real queries; whatever else comes is a cover. */
export const REAL = 'real.example'
const REPLY_OCTETS = 468
/** A cell: a framed query of 128 octets in a TLS record. */
const CELL_RECORD_OCTETS = 147

/**
 * A DoT server that knows real queries from covers, and the packets that came to it, with the
 * kernel's times.
 */
export async function startWatchedResolver(random: Chance) {
  const authority = await createAuthority()
  const real: boolean[] = []
  const server = await startDot({
    identity: await authority.issue({ name: RESOLVER_NAME }),
    answer: (query) => {
      const name = textFromName(query.subarray(12, questionEnd(query) - 4))
      real.push(name.replace(/\.$/, '').endsWith(REAL))
      return new Promise((resolve) => setTimeout(() => resolve(padded(query)), 5 + random.below(25)))
    },
  })
  const file = join(newPlace('micro-timing'), 'lo.pcap')
  const filter = `tcp port ${server.port}`
  const tcpdump = spawn('tcpdump', ['-i', 'lo', '-w', file, '-U', '-Z', 'root', '-j', 'host', '--time-stamp-precision=nano', filter], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  await new Promise<void>((resolve) => tcpdump.stderr.on('data', (said: Buffer) => said.includes('listening on') && resolve()))
  return {
    port: server.port,
    authority,
    /** The cells that came, in order. Ends the capture. */
    async cells(): Promise<readonly Cell[]> {
      const gone = new Promise((resolve) => tcpdump.once('exit', resolve))
      setTimeout(() => tcpdump.kill('SIGINT'), 1000)
      await gone
      const fields = ['-T', 'fields', '-e', 'frame.time_epoch', '-e', 'tcp.dstport', '-e', 'tls.record.length']
      const text = await output('tshark', ['-r', file, '-n', '-d', `tcp.port==${server.port},tls`, '-Y', 'tls.record', ...fields])
      const cells: Cell[] = []
      let heardMs = Number.NaN
      for (const line of text.split('\n')) {
        const [seconds = '', to, lengths = ''] = line.split('\t')
        const atMs = Number(seconds) * 1000
        if (to !== String(server.port)) heardMs = atMs
        else for (const octets of lengths.split(',')) if (Number(octets) === CELL_RECORD_OCTETS) cells.push({ atMs, heardMs, real: false })
      }
      if (cells.length !== real.length) throw new Error(`${cells.length} records in the capture, ${real.length} queries at the server`)
      return cells.map((cell, i) => ({ ...cell, real: real[i] === true }))
    },
    close(): Promise<void> {
      tcpdump.kill('SIGINT')
      return server.close()
    },
  }
}

function padded(query: Uint8Array): Uint8Array {
  const bare = Buffer.from(replyTo(query, [addressRecord()]))
  bare.writeUInt16BE(1, 10)
  const zeros = REPLY_OCTETS - bare.length - 15
  return Buffer.concat([bare, optRecord({ options: Uint8Array.of(0, 12, zeros >> 8, zeros & 255, ...new Uint8Array(zeros)) })])
}
