import t from 'tap'

interface Judged {
  readonly pass: number
  readonly fail: number
  readonly skip: number
  readonly problem: string | undefined
  readonly lines: readonly string[]
}

const { readTap } = (await import(new URL('../../../test/support/tap-report.mjs', import.meta.url).href)) as {
  readonly readTap: (file: string, text: string, end: number | string, seconds: number) => Judged
}
const judged = (text: string, end: number | string = 0) => readTap('build/test/link/some.test.js', text, end, 1.25)

const GOOD = `TAP version 14
# Subtest: it works
    ok 1 - should be equal
    # 12 ms to the answer
    ok 2 - on Node 24 # SKIP no such Node
    1..2
ok 1 - it works # time=5ms

1..1
# { total: 2, pass: 1, skip: 1 }
# time=10ms
`

t.test('a file that passed: its counts, its measurements, its skips', async (t) => {
  t.strictSame(judged(GOOD), {
    file: 'build/test/link/some.test.js',
    pass: 1,
    fail: 0,
    skip: 1,
    problem: undefined,
    lines: ['ok   link/some.test (1.3 s)', '     12 ms to the answer', '     skipped: on Node 24: no such Node'],
  })
})

t.test('a file that failed: what failed, with its diagnosis', async (t) => {
  const text = GOOD.replace('    ok 1 - should be equal', '    not ok 1 - should be equal\n      ---\n      -1\n      +2\n      ...')
    .replace('\nok 1 - it works', '\nnot ok 1 - it works')
    .replace('pass: 1, skip: 1', 'fail: 1, skip: 1')
  const { fail, problem, lines } = judged(text, 1)
  t.strictSame([fail, problem, lines[0]], [1, 'link/some.test: should be equal; it works', 'FAIL link/some.test (1.3 s)'])
  t.ok(lines.includes('   |       +2'))
})

t.test('what did not come to its end has failed, whatever passed until then', async (t) => {
  for (const [what, text, end, why] of [
    ['killed', GOOD.slice(0, GOOD.indexOf('1..1')), 'SIGKILL', /did not come to its end/],
    ['nothing printed', '', 0, /did not come to its end/],
    ['an exit code alone', GOOD, 7, /ended with 7/],
    ['a signal after the end', GOOD, 'SIGSEGV', /ended with SIGSEGV/],
    ['no such program', '', 'spawn ENOENT', /did not come to its end/],
  ] as const) {
    const { fail, problem } = judged(text, end)
    t.ok(fail >= 1, what)
    t.match(problem, why, what)
  }
})

t.test('a whole file that was skipped says why', async (t) => {
  const { fail, lines } = judged('TAP version 14\n1..0 # needs root\n# { total: 0 }\n')
  t.equal(fail, 0)
  t.strictSame(lines.slice(1), ['     skipped: needs root'])
})
