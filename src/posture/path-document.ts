import * as v from 'valibot'
import { HOP_KINDS, type HopKind } from '../route.ts'
import { TRANSPORT_NAMES } from '../transports.ts'

const described = v.description
const text = (description: string) => v.pipe(v.string(), described(description))
const HOP_NAMES = Object.keys(HOP_KINDS) as readonly HopKind[]

const knows = v.pipe(
  v.string(),
  v.maxLength(200),
  v.regex(/^(yes|no|claimed|only together with .+)$/),
  described(
    '`yes`, `no` (it gets nothing that reveals it), `claimed` (it depends on what a party says about itself), or `only together with` another party.',
  ),
)

/** One route to a resolver, as a part of the status document. */
export const pathDocument = v.object({
  resolver: text(
    'The id of the resolver in the trusted set; with `zones`: the server, as ADDRESS:PORT, or `link` for those of this network.',
  ),
  zones: v.optional(
    v.pipe(
      v.array(v.string()),
      described('The zones whose names this server is asked for without encryption. Absent: a resolver of the trusted set.'),
    ),
  ),
  over: v.pipe(v.array(v.picklist(TRANSPORT_NAMES)), described('The transports that take this route; empty: DNS without encryption.')),
  route: v.pipe(
    v.array(
      v.object({
        name: text('Its key in `proxies`, or its id in the trusted set.'),
        type: v.pipe(v.picklist(HOP_NAMES), described('The kind of hop.')),
        operator: v.optional(text('Who runs it, according to the configuration or the trusted set.')),
        protectedBy: v.pipe(
          v.picklist(['none', 'tls']),
          described('What protects the connection to the hop itself, apart from what passes through it.'),
        ),
        authenticated: v.pipe(
          v.picklist(['ca', 'ca+spki', 'no']),
          described(
            'How it must prove its identity before anything is sent through it. no: not at all, so anybody on the path can pose as it.',
          ),
        ),
        isolated: v.optional(
          v.pipe(
            v.picklist(['operator']),
            described('It gets different credentials for each operator of resolvers, so Tor shares no circuit between them.'),
          ),
        ),
        onThisHost: v.optional(v.pipe(v.boolean(), described('It is a program on this host. What lies behind it is not seen from here.'))),
      }),
    ),
    v.maxLength(8),
    described('The hops, the nearest first; empty: the resolver is reached directly.'),
  ),
  seal: v.pipe(
    v.object({
      by: v.pipe(v.picklist(['tls', 'hpke', 'dnscrypt', 'nothing']), described('What protects the question on the whole route.')),
      authenticated: v.pipe(
        v.picklist(['ca', 'ca+spki', 'key', 'no']),
        described(
          'How the resolver must prove its identity before a question is sent. key: only the holder of the private key can read it.',
        ),
      ),
    }),
    described('What protects the question up to the resolver.'),
  ),
  share: v.pipe(
    v.number(),
    v.minValue(0),
    v.maxValue(1),
    described('The share of sites whose names this resolver gets: 1, or about 1/N with N operators if `split` is `by-site`.'),
  ),
  knows: v.pipe(
    v.array(
      v.object({
        party: text('`this network`, `proxy NAME`, `relay NAME`, `resolver ID`, `server ADDRESS:PORT` or `servers of this network`.'),
        address: v.pipe(knows, described('Whether it can know the address of this host.')),
        names: v.pipe(knows, described('Whether it can know the names that are asked for.')),
        timing: v.pipe(knows, described('Whether it can know when something is asked.')),
        sizes: v.pipe(knows, described('Whether it can know the sizes of queries and replies.')),
      }),
    ),
    v.maxLength(10),
    described('Who can know what, from this network to the resolver.'),
  ),
})
