import dnsPacket from 'dns-packet'
import { readOpt, withPaddedOpt } from '../../../src/dns/edns.ts'
import { newScan, scanQuery, VERDICT } from '../../../src/dns/query-scan.ts'
import { bytes, optRecord, query, u16s } from '../../support/messages.ts'
import { must, type Target } from '../target.ts'

const BARE = query()
const of = (records: number, ...parts: readonly (Uint8Array | readonly number[])[]) => bytes(records, ...parts)

const messageOf = (input: Uint8Array) =>
  Buffer.concat([BARE.subarray(0, 11), Uint8Array.of((input[0] ?? 0) & 7), BARE.subarray(12), input.subarray(1)])

/**
 * The OPT record, ours to read in replies and in queries. Input: how many additional records, then
 * the additional section.
 */
export const optTarget: Target = {
  name: 'opt',
  maxOctets: 65_000,
  words: [u16s(11), u16s(12), u16s(15), u16s(65280), u16s(41), optRecord({})],
  seeds: [
    of(1, optRecord({})),
    of(1, optRecord({ dnssecOk: true, options: bytes(u16s(12, 4), [0, 0, 0, 0]) })),
    of(1, optRecord({ options: bytes(u16s(11, 2, 300), u16s(15, 4, 6), [0x68, 0x69]) })),
    of(1, optRecord({ options: bytes(u16s(15, 6, 22), [0x68, 0xc3, 0x28, 0x69]) })),
    of(2, optRecord({ version: 1 }), optRecord({})),
  ],
  timed(input) {
    readOpt(messageOf(input))
  },
  run(input) {
    const message = messageOf(input)
    const opt = readOpt(message)
    const scan = newScan()
    const verdict = scanQuery(message, 0, message.length, scan)
    if (verdict === VERDICT.ok && scan.hasOpt) {
      must(opt !== undefined && opt.version === 0, 'what the query reader takes, the reply reader finds')
      must(opt.udpSize === scan.udpSize && opt.dnssecOk === scan.dnssecOk, 'both readers read the same')
    }
    if (opt !== undefined) {
      must(opt.at >= BARE.length && opt.end <= message.length && opt.end - opt.at >= 11, 'the OPT lies in the message')
      const text = opt.ede?.text ?? ''
      must(text.length <= 256 && !text.includes('\uFFFD'), 'EXTRA-TEXT is bounded and whole')
      must((opt.keepaliveMs ?? 0) <= 6_553_500, 'a keepalive of 16 bits')
      if (message[11] === 1) agreesWithOracle(message, opt)
    }
    padsTo(128, input)
  },
}

/**
 * With one record: of an A it reads four octets, whatever its length says, and stands askew after
 * that.
 */
function agreesWithOracle(message: Uint8Array, opt: NonNullable<ReturnType<typeof readOpt>>): void {
  let additionals: readonly dnsPacket.Answer[] | undefined
  try {
    additionals = dnsPacket.decode(Buffer.from(message)).additionals
  } catch {
    return // it is stricter about options
  }
  const read = additionals?.find((record): record is dnsPacket.OptAnswer => record.type === 'OPT')
  must(read !== undefined, 'dns-packet finds the OPT')
  must(
    read.udpPayloadSize === opt.udpSize && read.ednsVersion === opt.version && read.flag_do === opt.dnssecOk,
    'dns-packet reads the same',
  )
  must(read.extendedRcode === opt.extendedRcode, 'dns-packet reads the same RCODE')
}

function padsTo(block: number, input: Uint8Array): void {
  const dnssecOk = ((input[0] ?? 0) & 8) !== 0
  const padded = withPaddedOpt(BARE, { dnssecOk, block, keepalive: ((input[0] ?? 0) & 16) !== 0 })
  const opt = readOpt(padded)
  must(padded.length % block === 0 && opt?.padded === true && opt.dnssecOk === dnssecOk && opt.end === padded.length, 'ours is padded')
}
