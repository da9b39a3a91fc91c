import { nameFromText } from '../dns/name.ts'
import { found, noSuchType, soaRecord, TYPE } from './local-answer.ts'
import type { ZoneRule } from './rule.ts'

const IPV4_LOOPBACK = Uint8Array.of(127, 0, 0, 1)
const IPV6_LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
const LOCALHOST_SOA = soaRecord(nameFromText('localhost.'))

/**
 * RFC 6761 section 6.3: `localhost` and every name below it is this host; address questions get the loopback address, all others nothing. No proof goes with that:
 * the root denies the name, and addresses beside a denial would make no sense.
 */
export const LOCALHOST: readonly ZoneRule[] = [
  {
    zone: 'localhost.',
    unprovable: true,
    action: (question) => {
      if (question.type === TYPE.a) return found(question, [[TYPE.a, IPV4_LOOPBACK]])
      if (question.type === TYPE.aaaa) return found(question, [[TYPE.aaaa, IPV6_LOOPBACK]])
      if (question.type === TYPE.any)
        return found(question, [
          [TYPE.a, IPV4_LOOPBACK],
          [TYPE.aaaa, IPV6_LOOPBACK],
        ])
      return noSuchType(question, LOCALHOST_SOA)
    },
  },
]
