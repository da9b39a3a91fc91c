import * as v from 'valibot'
import { cidrProblem, isLoopback } from './cidr.ts'
import { checked, text } from './fields.ts'
import { listenProblem, parseListen } from './listen-address.ts'

/* The schemas of single settings. */

/** The address and port of a listener. */
export const listenText = v.pipe(text(128), checked(listenProblem))
/** A block of addresses. */
export const cidrText = v.pipe(text(64), checked(cidrProblem))

/** The padding block of queries: 0, or 16 to 512 octets. RFC 8467 section 4.1 recommends 128. */
export const queryBlock = v.pipe(
  v.number('must be 0 or a whole number from 16 to 512'),
  v.integer('must be 0 or a whole number from 16 to 512'),
  v.check((block) => block === 0 || (block >= 16 && block <= 512), 'must be 0 (no padding) or from 16 to 512; RFC 8467 recommends 128'),
)

/** A name. It means itself and all names below it. */
export const zoneText = v.pipe(
  text(253),
  v.check(
    (name) => /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(name),
    'must be a name in ASCII (xn-- form), as in "home.example"; it includes all names below it',
  ),
)

/** The place of the page. Only programs of this host can reach it. */
export const pagePlace = v.pipe(
  text(104),
  v.check(
    (place) => place.startsWith('/') || isLoopback(parseListen(place)?.address ?? ''),
    'must be the absolute path of a Unix socket or a loopback ADDRESS:PORT, as in "127.0.0.1:9153"',
  ),
)

/** A user account of this host. */
export const userText = v.pipe(
  text(64),
  v.check((user) => /^([a-z_][\w.-]*\$?|\d+(:\d+)?)$/i.test(user), 'must be a user name, a user number, or UID:GID, as in "enigm-dns"'),
)
