import { readStampList } from '../../../src/config/stamp-list.ts'
import { readStamp, writeStamp } from '../../../src/config/stamps.ts'
import { serviceBindings } from '../../../src/dns/svcb.ts'
import { must, type Target } from '../target.ts'

const OWNER = '_dns.a.example'
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const latin = (text: string) => Uint8Array.from(Buffer.from(text, 'latin1'))
const HEAD = '0000 8180 0001 0001 0000 0000 045f646e73 0161 07 6578616d706c65 00 0040 0001'

/**
 * What others write about resolvers: answers of type SVCB, stamps, and lists of them.
 */
export const discoveryTarget: Target = {
  name: 'discovery',
  maxOctets: 16_384,
  words: ['sdns://', '## ', 'AgcAAAAAAAAA', '\n'].map(latin),
  seeds: [
    hex(`${HEAD} c00c 0040 0001 0000 012c 0010 0001 00 0001 0004 03646f74 0003 0002 0355`),
    hex(`${HEAD} c00c 0040 0001 0000 012c 0016 0001 00 0000 0002 0001 0001 0003 026832 0004 0004 c0000201`),
    latin('# list\n\n## a\nsdns://AgcAAAAAAAAAB\nsdns://BQcAAAAAAAAAC2pwLnRpYXIuYXBwBS9vZG9o\n'),
    latin('sdns://hQcAAAAAAAAAAAAab2RvaC1yZWxheS5lZGdlY29tcHV0ZS5hcHABLw'),
  ],
  timed(input) {
    serviceBindings(input, OWNER)
    readStampList(Buffer.from(input).toString('latin1'))
  },
  run(input) {
    const { bindings, ignored } = serviceBindings(input, OWNER)
    must(bindings.length <= 16 && ignored.length <= 18, 'bounded')
    must(
      bindings.every(({ priority, alpn, port }) => priority > 0 && alpn.length > 0 && (port === undefined || port > 0)),
      'a binding can be used',
    )
    const text = Buffer.from(input).toString('latin1')
    const { stamps, faults, refused } = readStampList(text)
    must(faults.length <= refused && faults.length <= 20, 'few faults are named')
    must(/^[\x20-\x7e\n]*$/.test(faults.join('\n')), 'what is said about a list is printable')
    for (const { stamp } of stamps) must(readStamp(writeStamp(stamp)).stamp !== undefined, 'what was read can be written')
    readStamp(`sdns://${Buffer.from(input.subarray(0, 600)).toString('base64url')}`)
  },
}
