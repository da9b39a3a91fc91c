import { upstreamQuery } from '../dns/message.ts'

const ROOT_NS = Uint8Array.of(0, 0, 2, 0, 1)

/** `. NS IN`: every resolver has it in its cache, and it holds no name of a user's. */
export const ROOT_PROBE: Uint8Array = upstreamQuery({ lower: ROOT_NS, type: 2, class: 1 }, false)
