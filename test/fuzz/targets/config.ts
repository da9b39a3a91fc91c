import { configOf, setOf } from '../../../src/config/documents.ts'
import { parseJsonc } from '../../../src/config/jsonc.ts'
import { configError, type Problem } from '../../../src/config/problems.ts'
import { must, type Target } from '../target.ts'

const text = (value: unknown) => Uint8Array.from(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)))
const RESOLVER = {
  id: 'a',
  authenticationDomainName: 'a.example',
  addresses: ['192.0.2.1', '2001:db8::1'],
  transports: { dot: {}, doh: { path: '/dns-query{?dns}' } },
  spkiPins: ['AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='],
}

/** The configuration and the trusted set, as texts that somebody else may have written. */
export const configTarget: Target = {
  name: 'config',
  maxOctets: 16_384,
  words: ['"listen":', '"resolvers":', '"use":', '"addresses":', '127.0.0.1:53', '/* */', '//', '\\u0000', '__proto__', '1e999'].map(text),
  seeds: [
    text({}),
    text('{ "listen": ["[::1]:53"], // a comment\n "cache": { "minTtlS": 5, }, }'),
    text({ listen: ['127.0.0.1:53'], allowFrom: ['fd00::/8', '::ffff:1.2.3.4/100'], shaping: { profile: 'lite' }, log: { level: 'warn' } }),
    text({ version: 1, resolvers: [RESOLVER, { ...RESOLVER, claims: { logging: false, ecs: 'unknown' } }] }),
    text('{"a":1,"a":2,"__proto__":{}}'),
    text(`${'['.repeat(40)}${']'.repeat(40)}`),
  ],
  timed(input) {
    const { value } = parseJsonc(Buffer.from(input).toString('utf8')) as { readonly value?: unknown }
    if (value === undefined) return
    configOf('file', value, () => {})
    setOf('file', value, () => {})
  },
  run(input) {
    const source = Buffer.from(input).toString('utf8')
    const parsed = parseJsonc(source)
    agreesWithJson(source, parsed)
    if (parsed.problems !== undefined) {
      must(parsed.problems.length > 0 && parsed.problems.length <= 10, 'one to ten problems')
      return
    }
    const problems: Problem[] = []
    const collect = (problem: Problem) => void problems.push(problem)
    const config = configOf('file', parsed.value, collect)
    must(
      config.listen.length > 0 && config.timeoutMs >= 500 && config.cache.minTtlS <= config.cache.maxTtlS,
      'what is faulty stands at its default',
    )
    const set = setOf('file', parsed.value, collect)
    must(!set.whole || set.sound.length === set.ids.size, 'a whole set has all of its resolvers')
    must(
      set.sound.every(
        ({ enabled, addresses, transports }) =>
          (!enabled || addresses.length > 0 || 'odoh' in transports) && Object.keys(transports).length > 0,
      ),
      'a sound resolver can be asked',
    )
    must(Object.getPrototypeOf({}) === Object.prototype && !('polluted' in {}), 'no prototype is reached')
    const { message } = configError(problems)
    must(/^[\x20-\x7e\n]*$/.test(message) && message.length < 200_000, 'what is said about a file is printable and bounded')
    must(message.split('\n').length <= 101, 'at most a hundred lines and one')
  },
}

/**
 * What is JSON is read as JSON, but for keys that stand twice, reach a prototype, or lie too deep.
 */
function agreesWithJson(source: string, parsed: ReturnType<typeof parseJsonc>): void {
  let value: unknown
  try {
    value = JSON.parse(source)
  } catch {
    return
  }
  if (parsed.problems === undefined) must(JSON.stringify(parsed.value) === JSON.stringify(value), 'JSON means what JSON.parse says')
  else must(/twice|not allowed|levels of nesting/.test(parsed.problems.join()), `JSON is refused only for a reason: ${parsed.problems[0]}`)
}
