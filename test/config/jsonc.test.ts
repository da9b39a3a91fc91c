import fc from 'fast-check'
import t from 'tap'
import { MAX_OCTETS, parseJsonc, valueOfEdited } from '../../src/config/jsonc.ts'

t.test('comments and trailing commas are read, and strings that look like either are left alone', async (t) => {
  const text = '// top\n{ "a": [1, 2,], /* in */ "b": "// no /* comment */", "c": {"d": null, "e": true,}, }\n// end'
  const { value } = parseJsonc(text) as { value: unknown }
  t.strictSame(JSON.parse(JSON.stringify(value)), { a: [1, 2], b: '// no /* comment */', c: { d: null, e: true } })
})

t.test('faults have line and column from 1, with any line end', async (t) => {
  for (const [text, place] of [
    ['{\n  "a": 1\n  "b": 2\n}', 'line 3, column 3'],
    ['{\r\n  "a": 1\r\n  "b": 2\r\n}', 'line 3, column 3'],
    ['{ "a": tru }', 'line 1, column 8'],
    ['{ "a": 1 } x', 'line 1, column 12'],
    ['{\n "a": 1,\n "a": 2 }', 'line 3, column 2'],
  ] as const) {
    const { problems } = parseJsonc(text)
    t.ok(
      problems?.some((problem) => problem.startsWith(`${place}: `)),
      `${JSON.stringify(text)}: ${problems?.join(' | ')}`,
    )
  }
})

t.test('what follows from a fault is not a fault of its own', async (t) => {
  for (const text of ['garbage\n', 'listen = 127.0.0.1\n', '{ "a": tru }', 'NaN', '{ "a": 1 \n b }']) {
    const { problems = [] } = parseJsonc(text)
    t.equal(problems.length, 1, `${JSON.stringify(text)}: ${problems.join(' | ')}`)
  }
  t.equal(parseJsonc('{ "a": tru, "b": fals }').problems?.length, 2, 'two faults are two problems')
})

t.test('a bracket that closes another kind, any number of times: refused without recursion', async (t) => {
  for (const text of ['[},'.repeat(5000), '{]'.repeat(100_000), '{"a":[}']) {
    const { problems } = parseJsonc(text)
    t.match(problems?.[0], /^line 1, column \d+: "[\]}]" closes nothing; correct the JSON there$/)
  }
})

t.test('invalid text is refused', async (t) => {
  for (const text of [
    '',
    '   ',
    '// only',
    '{',
    '[1',
    '{"a"}',
    '{"a":}',
    "{'a':1}",
    '{a:1}',
    '{"a":1}{"b":2}',
    '"open',
    '{"a":01}',
    '{"a":NaN}',
    '/* open',
    '{"a":"\u0001"}',
  ]) {
    t.ok((parseJsonc(text).problems?.length ?? 0) > 0, JSON.stringify(text))
  }
})

t.test('a key twice is refused at any depth, also when spelt with an escape', async (t) => {
  t.match(parseJsonc('{"a":[{"k":1,"\\u006b":2}]}').problems, [/line 1, column 14: the key "k" appears twice/])
})

t.test('no key changes a prototype', async (t) => {
  for (const key of ['__proto__', 'constructor', 'prototype', '\\u005f_proto__']) {
    t.match(parseJsonc(`{"a":{"${key}":{"polluted":1}}}`).problems, [/is not allowed/], key)
  }
  t.equal(({} as { polluted?: number }).polluted, undefined)
  t.equal(Object.getPrototypeOf((parseJsonc('{}') as { value: object }).value), null)
})

t.test('size and depth are bounded before the parser recurses', async (t) => {
  t.match(parseJsonc(`"${'x'.repeat(MAX_OCTETS)}"`).problems, [/larger than/])
  t.match(parseJsonc(`"${'\u20ac'.repeat(MAX_OCTETS / 2)}"`).problems, [/larger than/], 'octets count, not characters')
  t.match(parseJsonc('['.repeat(1_000_000)).problems, [/levels of nesting/])
  t.match(parseJsonc('{"a":'.repeat(200_000)).problems, [/levels of nesting/])
  t.ok('value' in parseJsonc(`${'['.repeat(32)}${']'.repeat(32)}`))
  t.ok('value' in parseJsonc(JSON.stringify('['.repeat(100))), 'brackets in a string are no nesting')
  const started = performance.now()
  parseJsonc('{,'.repeat(500_000))
  parseJsonc(`{${'"a":1,'.repeat(60_000)}}`)
  t.ok(performance.now() - started < 4000, 'no quadratic time on most of a megabyte of faults')
})

t.test('property: reads what JSON.stringify wrote', async () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      const text = JSON.stringify(value)
      if (/"(__proto__|constructor|prototype)":/.test(text)) return
      const parsed = parseJsonc(text)
      if (parsed.problems !== undefined) throw new Error(parsed.problems.join())
      if (JSON.stringify(parsed.value) !== text) throw new Error(`${JSON.stringify(parsed.value)} from ${text}`)
    }),
    { numRuns: 500 },
  )
})

t.test('property: never throws for any text', async () => {
  const pieces = fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '//', '/*', '*/', '\\', '\n', 'true', '1e', '"a"', '\u2028', '\ud800')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(pieces).map((list) => list.join('')),
      ),
      (text) => {
        const parsed = parseJsonc(text)
        return 'value' in parsed || (parsed.problems?.length ?? 0) > 0
      },
    ),
    { numRuns: 500 },
  )
})

t.test('the fast way gives the same value: comments, trailing commas, line ends, marks in strings', async (t) => {
  const text =
    '{ // c "x" }\n "a": ["1,]", "\\"//", /* , } */ 2, /* z * / */ // k ]\n ], "b": {"c": "http://x/*", } , // , ]\n "d": 1, /* } */ "e": 2, // }\n }'
  for (const one of [text, `\uFEFF${text}`, text.replaceAll('\n', '\r\n'), text.replaceAll('\n', '\r')]) {
    const whole = parseJsonc(one)
    t.equal(whole.problems, undefined)
    t.equal(JSON.stringify(valueOfEdited(one)), JSON.stringify(Reflect.get(whole, 'value')))
  }
  t.equal(valueOfEdited('{ "a": 1'), undefined)
})
