import { KNOBS, MISS_SHARE } from './pages.ts'

const share = (of: number) => `${(of * 100).toFixed(0)} %`

/** What the synthetic pages are. */
export const KNOB_NOTES = `- **Pages** are synthetic: a template of queries and gaps per site, log-normal in number (median ${KNOBS.medianQueries}, sigma ${KNOBS.sigma}), gaps as measured on real page loads, larger pages denser.
  Each visit drops or inserts ${share(KNOBS.dropInsert)} of the queries, swaps ${share(KNOBS.swap)} with a neighbour, moves ${share(KNOBS.shift)} of the gaps by one bin of a factor of two, and draws every gap anew within its bin.
  The last two are the knobs that were turned until undefended pages were recognised about as well as real ones are.
- **The resolver** answers after 14 ms and a little, and ${share(MISS_SHARE)} of the queries, real and cover, after a median of 60 ms more (a miss). What the hard rows add is in docs/observer-bench.md.
- **A page's queries do not wait for each other here**: a real browser asks some names only after others were answered, so that delay adds up.`

/** What the columns mean. */
export const BATCH_NOTE = `- **Bits of site**: a lower bound for the mutual information between what is seen and the site, from the forest's votes.
- **kB a page**: TLS records both ways, with 57 octets of headers for each; bare ACKs are not counted. A link that is always on, or covered additively, is counted for 30 s and 50 s.
- **Delay**: what a real query waits for its slot; the resolver's time comes on top.
- **A5**: 0.5 is blind. **A6**: pairs of a host's queries and a link, or of two links whose devices write to each other; "whole" includes the beginning and the end of the activity. **A7**: one page in a hundred is of a monitored site;
  precision is that of an alarm when half of the monitored pages are to be found.
- What no row can say: the destination addresses of what is visited afterwards, the resolver's own view, and an observer who sees both sides of everything. See observer-bench.md in docs.`
