import { nameLength } from '../../../src/dns/name.ts'
import { EnigmError } from '../../../src/errors.ts'
import type { ListFormat } from '../../../src/rules/list-kinds.ts'
import { ListParser } from '../../../src/rules/list-parser.ts'
import { must, type Target } from '../target.ts'

const FORMATS: readonly ListFormat[] = ['auto', 'hosts', 'domains', 'adblock', 'rpz']

const seed = (format: number, text: string) => Uint8Array.from(Buffer.concat([Buffer.of(format), Buffer.from(text)]))

const formatOf = (input: Uint8Array) => FORMATS[(input[0] ?? 0) % FORMATS.length] ?? 'auto'

/** What a list says, with its lines cut into parts of this size. */
function read(octets: Uint8Array, format: ListFormat, step: number): string {
  const said: string[] = []
  const taker = {
    name(name: Uint8Array, scope: string) {
      const message = Uint8Array.from([...Array<number>(12).fill(0), ...name.subarray(0, 255)])
      must(nameLength(message, 12) > 1, 'a whole name of at least one label')
      said.push(`${scope} ${Buffer.from(name.subarray(0, nameLength(message, 12))).toString('hex')}`)
    },
    addresses(address: Uint8Array, prefix: number) {
      must(address.length === 4 || address.length === 16, 'an address of either family')
      must(prefix > 0 && prefix <= address.length * 8, 'a prefix of its length')
      said.push(`${Buffer.from(address).toString('hex')}/${prefix}`)
    },
    clients(address: Uint8Array, prefix: number) {
      this.addresses(address, prefix)
    },
    skip: (reason: string) => void said.push(`${parser.line} ${reason}`),
  }
  const parser = new ListParser(format, taker)
  try {
    for (let at = 0; at < octets.length; at += step) parser.feed(octets.subarray(at, at + step))
    parser.end()
  } catch (error) {
    if (!(error instanceof EnigmError) || error.code !== 'source') throw error
    return error.message
  }
  return said.join('\n')
}

/** Lists of names, which come from anybody. Input: the format, then the list. */
export const listsTarget: Target = {
  name: 'lists',
  maxOctets: 65_535,
  seeds: [
    seed(0, '0.0.0.0 ads.example tracker.example # x\n||a.example^$important\n@@||b.example^\nc.example\n192.0.2.0/24\n'),
    seed(1, '127.0.0.1 localhost\n::1 a.example\r\n255.255.255.255 broadcasthost\n'),
    seed(2, '\ufeffb\u00fccher.example\n*.a.example\n.b.example\n2001:db8::/32\n'),
    seed(3, '[Adblock]\n||x.example^$denyallow=a.x.example|b.x.example\n|y.example^\n##.z\n/re/\n'),
    seed(
      4,
      '$ORIGIN rpz.\n@ SOA a. b. ( 1 2\n3 4 5 )\na CNAME .\n*.a CNAME *.\n24.0.2.0.192.rpz-ip CNAME .\n128.1.zz.db8.2001.rpz-ip A 0.0.0.0\n',
    ),
  ],
  timed(input) {
    const nothing = () => {}
    const parser = new ListParser(formatOf(input), { name: nothing, addresses: nothing, clients: nothing, skip: nothing })
    try {
      parser.feed(input.subarray(1))
      parser.end()
    } catch (error) {
      if (!(error instanceof EnigmError)) throw error
    }
  },
  run(input) {
    read(input.subarray(1), formatOf(input), 65_536)
  },
}
