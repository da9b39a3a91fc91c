import { isIP } from 'node:net'
import * as v from 'valibot'
import { addressOctets, cidrProblem, firstBits, isMulticastOrBroadcast, isUnspecified, parseCidr } from './cidr.ts'
import { checked, closed, described, distinct, domainName, text } from './fields.ts'
import { listenProblem, parseListen, sameEndpoint } from './listen-address.ts'
import { ownAnswersSchema } from './own-answers.ts'

/** The word for the DNS servers that DHCP or systemd-resolved gives for this link. */
export const LINK = 'link'

/**
 * A zone in lower case, without its final dot. The root is refused: the resolvers for all other
 * names are in `use`.
 */
const zoneName = (says: string) =>
  v.pipe(
    domainName,
    v.check((name) => name !== '.', 'must not be the root; name the resolvers for all names in "use"'),
    // The converter to JSON Schema reads nothing after a transform.
    v.description(says),
    v.transform((name) => name.replace(/\.$/, '')),
  )

const zones = (least: number) => distinct(zoneName('A domain name.'), 1000, least)
const ids = (most: number) => distinct(text(63), most, 1)

/** The error of an unencrypted server, as a clause with the fix. Undefined: it is valid. */
function serverProblem(server: string): string | undefined {
  if (server === LINK) return undefined
  const found = parseListen(server)
  if (found === undefined && isIP(server) !== 0) return `must have a port; write "${isIP(server) === 6 ? `[${server}]` : server}:53"`
  if (found === undefined) return 'must be "link" or a numeric ADDRESS:PORT, as in "10.0.0.53:53" or "[fd00::53]:53"'
  if (found.port === 0) return 'must have a port from 1 to 65535'
  if (isUnspecified(found.address)) return 'means every address and is not a server; write the address of the server'
  if (isMulticastOrBroadcast(found.address)) return 'is a multicast or broadcast address; write the address of one server'
  return listenProblem(server)
}

const rule = v.pipe(
  closed({
    zone: zoneName('The zone: this name and all names below it. The longest zone that contains a name decides.'),
    except: v.exactOptional(
      described('Names below the zone, with all names below them, that are resolved as if this rule did not exist.', zones(0)),
    ),
    to: v.exactOptional(described('The ids of the resolvers of the trusted set that answer for this zone.', ids(32))),
    cleartext: v.exactOptional(
      described(
        'Instead of `to`: a server that is asked without encryption, or `link` for those that this network announces. The zone must be in `allowCleartext` too.',
        v.pipe(text(128), checked(serverProblem)),
      ),
    ),
  }),
  v.check(
    ({ to, cleartext }) => (to === undefined) !== (cleartext === undefined),
    'must have either "to", as in ["my-resolver"], or "cleartext", as in "10.0.0.53:53"',
  ),
  v.check(
    ({ zone, except = [] }) => except.every((name) => name.endsWith(`.${zone}`)),
    'has a name in "except" that is not below its zone; write whole names, as in "www.corp.example" for the zone "corp.example"',
  ),
)

/** The rules of forwarding, for all clients or for a view. */
export const forwardRules = v.pipe(distinct(rule, 1000, 0, (one) => (one as { readonly zone?: unknown }).zone))
export const cleartextZones = zones(0)

const cidrText = v.pipe(text(64), checked(cidrProblem))

/** The canonical spelling of a block. */
function sameBlock(block: string): string {
  const cidr = parseCidr(block)
  return cidr === undefined ? block : `${cidr.family}/${cidr.prefix}/${firstBits(addressOctets(cidr.address), cidr.prefix)}`
}

const view = closed({
  id: described(
    'The name of the view.',
    v.pipe(text(63), v.regex(/^[a-z0-9][a-z0-9._-]*$/, 'must consist of a-z, 0-9, dot, hyphen and underscore')),
  ),
  clients: described(
    'The address blocks of its clients. A client belongs to the view with the smallest block that contains its address.',
    distinct(cidrText, 1000, 1, (block) => sameBlock(String(block))),
  ),
  forward: v.exactOptional(described('The forwarding rules of this view, instead of those for all clients.', forwardRules)),
  use: v.exactOptional(
    described('The ids of the resolvers for names outside of forward zones, instead of those for all clients.', ids(1000)),
  ),
  answers: v.exactOptional(described('Its own answers, instead of those for all clients.', ownAnswersSchema)),
  lists: v.exactOptional(described('The ids of the lists that are used for it, instead of all lists.', distinct(text(63), 1000, 0))),
})

/** Limit of views. The number of a view is part of every cache key. */
export const MOST_VIEWS = 1000

export const viewList = v.pipe(
  distinct(view, MOST_VIEWS, 0, (one) => (one as { readonly id?: unknown }).id),
  v.check((list) => {
    const blocks = list.flatMap(({ clients }) => clients.map(sameBlock))
    return new Set(blocks).size === blocks.length
  }, 'contains a block of clients in two views; a client can belong to one view only'),
)

export type ForwardRule = v.InferOutput<typeof rule>
export type ViewRule = v.InferOutput<typeof view>

/** The canonical spelling of a rule's server. Undefined: the rule has no fixed server. */
export function serverOf({ cleartext }: ForwardRule): string | undefined {
  return cleartext === undefined || cleartext === LINK ? undefined : sameEndpoint(cleartext)
}

/**
 * The ids of the resolvers for general names: those for all clients, and those of each view that
 * has its own.
 */
export function generalSides(config: {
  readonly use: readonly string[]
  readonly views: readonly { readonly use?: readonly string[] }[]
}): readonly (readonly string[])[] {
  return [config.use, ...config.views.flatMap(({ use }) => (use === undefined ? [] : [use]))]
}
