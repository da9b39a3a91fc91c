import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { nameFromText } from '../../src/dns/name.ts'
import { buildLists, type ListSpec } from '../../src/rules/list-build.ts'
import { ListRules } from '../../src/rules/list-rules.ts'

const KEY = Buffer.from('0123456789abcdef', 'hex')

/** Builds lists of the given texts; each is named for its key. */
function built(t: Test, texts: Readonly<Record<string, string | Partial<ListSpec>>>) {
  const dir = t.testdir()
  const specs = Object.entries(texts).map(([id, of]): ListSpec => {
    const path = join(dir, id)
    const { path: text = '', ...more } = typeof of === 'string' ? { path: of } : of
    writeFileSync(path, text)
    return { id, path, format: 'auto', action: 'block', ...more }
  })
  return { specs, outcome: buildLists(specs, KEY) }
}

function rulesOf(t: Test, texts: Readonly<Record<string, string | Partial<ListSpec>>>) {
  const { specs, outcome } = built(t, texts)
  if ('faults' in outcome) throw new Error(JSON.stringify(outcome.faults))
  const rules = new ListRules(outcome)
  const all = specs.map(({ id }) => id)
  const of = (name: string, ids: readonly string[] = all) => {
    const group = rules.ofName(
      nameFromText(name),
      0,
      Uint8Array.from(all, (id) => (ids.includes(id) ? 1 : 0)),
    )
    return group === undefined ? 'passes' : `${group.kind.allows ? 'allowed' : 'blocked'} by ${specs[group.list]?.id}`
  }
  return { outcome, rules, of }
}

t.test('a hosts line blocks one name, a bare name all below it', (t) => {
  const { of } = rulesOf(t, { hosts: '0.0.0.0 one.example', names: 'tree.example', wild: '||*.below.example^' })
  t.equal(of('one.example'), 'blocked by hosts')
  t.equal(of('a.one.example'), 'passes')
  t.equal(of('tree.example'), 'blocked by names')
  t.equal(of('a.b.tree.example'), 'blocked by names')
  t.equal(of('below.example'), 'passes')
  t.equal(of('a.below.example'), 'blocked by wild')
  t.equal(of('example'), 'passes')
  t.end()
})

t.test('allow beats block, $important beats both, and an important allow beats all; the order of lists does not matter', (t) => {
  const texts = {
    block: 'a.example\n||strong.example^$important\nboth.example',
    allow: { path: 'a.example\nstrong.example\nboth.example', action: 'allow' as const },
    more: '||both.example^$important\n@@||both.example^$important\n@@||sub.a.example^',
  }
  for (const order of [
    ['block', 'allow', 'more'],
    ['more', 'allow', 'block'],
  ] as const) {
    const { of } = rulesOf(t, Object.fromEntries(order.map((id) => [id, texts[id]])))
    t.equal(of('a.example'), 'allowed by allow')
    t.equal(of('strong.example'), 'blocked by block')
    t.equal(of('both.example'), 'allowed by more')
    t.equal(of('a.example', ['block', 'more']), 'blocked by block', 'a list that does not apply says nothing')
    t.equal(of('sub.a.example', ['block', 'more']), 'allowed by more')
  }
  t.end()
})

t.test('$denyallow makes exceptions for names below', (t) => {
  const { of } = rulesOf(t, { a: '||wide.example^$denyallow=ok.wide.example' })
  t.equal(of('wide.example'), 'blocked by a')
  t.equal(of('x.wide.example'), 'blocked by a')
  t.equal(of('ok.wide.example'), 'passes')
  t.equal(of('deep.ok.wide.example'), 'passes')
  t.equal(of('notok.wide.example'), 'blocked by a')
  t.end()
})

t.test('addresses of answers are judged by blocks', (t) => {
  const { rules } = rulesOf(t, { a: '203.0.113.0/24\n@@||203.0.113.7^\n2001:db8::/32' })
  const of = (...octets: number[]) => rules.ofAddress(Uint8Array.from(octets), 0, octets.length as 4 | 16, Uint8Array.of(1))?.kind.allows
  t.ok(rules.judgesAddresses)
  t.equal(of(203, 0, 113, 1), false)
  t.equal(of(203, 0, 113, 7), true)
  t.equal(of(203, 0, 114, 1), undefined)
  t.equal(of(0x20, 1, 0xd, 0xb8, ...Array<number>(12).fill(9)), false)
  t.end()
})

t.test('the report says what each list contributes, how they overlap, and what is not used', (t) => {
  const { outcome } = rulesOf(t, {
    first: 'a.example\nb.example\nb.example\nbad..name',
    second: 'b.example\nc.example\n||d.example^$script\n||e.example^$script',
    third: { path: 'c.example', action: 'allow' },
  })
  t.match(outcome.reports, [
    { id: 'first', rules: 2, lines: 4, overlaps: {}, skipped: [{ reason: 'not-a-name', count: 1, line: 4 }] },
    { id: 'second', rules: 2, overlaps: { first: 1 }, skipped: [{ reason: 'modifier', detail: 'script', count: 2, line: 3 }] },
    { id: 'third', rules: 1, overlaps: { second: 1 }, contradictions: 1, skipped: [] },
  ])
  t.end()
})

t.test('a list that cannot be used is named, each one, and there is no table', (t) => {
  const faults = (texts: Readonly<Record<string, string | Partial<ListSpec>>>) => {
    const { outcome } = built(t, texts)
    return 'faults' in outcome ? outcome.faults.map(({ id, message }) => `${id}: ${message}`) : []
  }
  t.match(
    faults({ good: 'a.example', html: '<!DOCTYPE html>', nul: 'a\0b', junk: '?? ??\n!! !!\n?' }).join('\n'),
    /^html: .*web page.*\nnul: .*NUL.*\njunk: .*no valid rule/,
  )
  t.match(faults({ hash: { path: 'a.example', sha256: 'a'.repeat(64) } })[0], 'SHA-256')
  t.strictSame(faults({ hash: { path: 'a.example', sha256: createHash('sha256').update('a.example').digest('hex') } }), [])
  const gone = buildLists([{ id: 'gone', path: join(t.testdir(), 'none'), format: 'auto', action: 'block' }], KEY)
  t.match(gone, { faults: [{ id: 'gone', message: /does not exist/ }] })
  const { specs } = built(t, { html: '<!DOCTYPE html>', good: 'a.example' })
  const both = buildLists([{ id: 'gone', path: `${specs[0]?.path}.none`, format: 'auto', action: 'block' }, ...specs], KEY)
  t.match(both, { faults: [{ id: 'gone' }, { id: 'html', message: /HTML|web page/i }] }, 'the faults of all lists')
  t.strictSame(faults({ empty: '# nothing yet\n' }), [], 'an empty list is one')
  t.end()
})

t.test('a signed list is used only with its signature', (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const id = Buffer.alloc(8, 1)
  const key = Buffer.concat([Buffer.from('Ed'), id, publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)]).toString('base64')
  const text = 'a.example\n'
  const made = sign(null, createHash('blake2b512').update(text).digest(), privateKey)
  const global = sign(null, Buffer.concat([made, Buffer.from('file:a.txt')]), privateKey)
  const line = Buffer.concat([Buffer.from('ED'), id, made]).toString('base64')
  const signature = `untrusted comment: x\n${line}\ntrusted comment: file:a.txt\n${global.toString('base64')}\n`
  const of = (path: string, fileName = 'a.txt') => built(t, { a: { path, signed: { key, signature, fileName } } }).outcome
  t.notOk('faults' in of(text))
  t.match(of('b.example\n'), { faults: [{ message: /does not match/ }] })
  t.match(of(text, 'b.txt'), { faults: [{ message: /another name/ }] })
  t.match(built(t, { a: { path: text, signed: { key, signature: '', fileName: 'a.txt' } } }).outcome, { faults: [{ message: /minisign/ }] })
  t.end()
})

t.test('many names on one line, and many lines without names, get a table that fits', (t) => {
  const many = `0.0.0.0 ${Array.from({ length: 500 }, (_, i) => `n${i}.example`)
    .join(' ')
    .slice(0, 3900)}\n`.repeat(1)
  const { outcome, of } = rulesOf(t, { many, comments: `${'# nothing\n'.repeat(5000)}last.example` })
  t.equal(of('n0.example'), 'blocked by many')
  t.equal(of('last.example'), 'blocked by comments')
  const used = outcome.reports.reduce((sum, { rules }) => sum + rules, 0)
  t.ok(outcome.table.cells.length / 2 < used / 0.5 + 32, `${outcome.table.cells.length / 2} cells for ${used} rules`)
  t.end()
})

t.test('lines of hosts files with hundreds of names each lose none of them', (t) => {
  const line = (i: number) =>
    `0.0.0.0 ${Array.from({ length: 600 }, (_, n) => `x${(i * 600 + n).toString(36).padStart(4, '0')}`).join(' ')}`
  const { outcome, of } = rulesOf(t, { hosts: Array.from({ length: 60 }, (_, i) => line(i)).join('\n') })
  t.equal(outcome.reports[0]?.rules, 36_000)
  t.equal(of(`x${(35_999).toString(36).padStart(4, '0')}`), 'blocked by hosts')
  t.end()
})

t.test('rules about clients are counted like others, and only so many are kept', (t) => {
  const head = '@ SOA a. b. 1 2 3 4 5\n'
  const one = '32.1.2.0.192.rpz-client-ip CNAME .\n'
  const many = Array.from({ length: 65_536 }, (_, i) => `32.${i & 255}.${i >> 8}.0.10.rpz-client-ip CNAME .\n`).join('')
  const { outcome } = rulesOf(t, {
    first: `${head}${one}${one}`,
    second: `${head}32.1.2.0.192.rpz-client-ip CNAME rpz-passthru.\n`,
    third: `${head}${many}`,
  })
  t.equal(outcome.clients.length, 65_536)
  t.match(outcome.reports, [
    { rules: 1, overlaps: {}, contradictions: 0, skipped: [] },
    { rules: 1, overlaps: { first: 1 }, contradictions: 1, skipped: [] },
    { rules: 65_534, skipped: [{ reason: 'too-many-clients', count: 2, line: 65_536 }] },
  ])
  t.end()
})
