import t from 'tap'
import type { ForwardRule, ViewRule } from '../../src/config/forwarding.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { type SideRules, sidesOf } from '../../src/rules/sides.ts'
import { view } from '../support/rules.ts'

const rules = (forward: readonly ForwardRule[], views: readonly ViewRule[] = []): SideRules => ({ use: ['one', 'two'], forward, views })
const question = (name: string) => Buffer.concat([nameFromText(name), Uint8Array.of(0, 43, 0, 1)])

/** Who is asked for a name. */
function asked(of: SideRules, name: string, number = 0): string {
  const { to, cleartext } = sidesOf(of).of(question(name), view(number))
  return cleartext ?? to.join(',')
}

t.test('without a rule every name is general', async (t) => {
  for (const name of ['.', 'com', 'a.b.example', 'localhost']) t.equal(asked(rules([]), name), 'one,two', name)
  t.equal(sidesOf(rules([])).all.length, 1)
})

t.test('a zone includes its own name and all names below it, and nothing beside it', async (t) => {
  const of = rules([{ zone: 'corp.example', to: ['corp'] }])
  for (const name of ['corp.example', 'a.corp.example', '_ldap._tcp.corp.example', '*.corp.example', 'a.b.c.corp.example'])
    t.equal(asked(of, name), 'corp', name)
  for (const name of ['example', 'xcorp.example', 'corp.example.net', 'corp', 'orp.example', 'corp\\.example'])
    t.equal(asked(of, name), 'one,two', name)
})

t.test('the longest zone decides, whatever the order of the rules', async (t) => {
  const list: readonly ForwardRule[] = [
    { zone: 'example', to: ['short'] },
    { zone: 'lab.corp.example', cleartext: '10.0.0.53:53' },
    { zone: 'corp.example', to: ['corp'] },
  ]
  for (const of of [rules(list), rules(list.toReversed())]) {
    t.equal(asked(of, 'a.example'), 'short')
    t.equal(asked(of, 'a.corp.example'), 'corp')
    t.equal(asked(of, 'a.lab.corp.example'), '10.0.0.53:53')
  }
})

t.test('an exception falls to the next longest zone, or to general names', async (t) => {
  const of = rules([
    { zone: 'example', except: ['open.corp.example'], to: ['short'] },
    { zone: 'corp.example', except: ['www.corp.example', 'open.corp.example'], to: ['corp'] },
    { zone: 'in.www.corp.example', to: ['inner'] },
  ])
  t.equal(asked(of, 'www.corp.example'), 'short')
  t.equal(asked(of, 'a.www.corp.example'), 'short', 'and so is what lies below it')
  t.equal(asked(of, 'a.open.corp.example'), 'one,two')
  t.equal(asked(of, 'b.in.www.corp.example'), 'inner', 'a longer zone inside an exception')
  t.equal(asked(of, 'xwww.corp.example'), 'corp')
})

t.test('a single label is a zone like any other', async (t) => {
  const of = rules([{ zone: 'printer', cleartext: 'link' }])
  t.equal(asked(of, 'printer'), 'link')
  t.equal(asked(of, 'scan.printer'), 'link')
  t.equal(asked(of, 'printers'), 'one,two')
})

t.test('a view has its own rules and resolvers, or those of everybody', async (t) => {
  const of = rules(
    [{ zone: 'corp.example', to: ['corp'] }],
    [
      { id: 'kids', clients: ['10.0.1.0/24'], use: ['family'] },
      { id: 'guests', clients: ['10.0.2.0/24'], forward: [{ zone: 'printer', cleartext: '10.0.2.1:53' }] },
      { id: 'bare', clients: ['10.0.3.0/24'], forward: [] },
    ],
  )
  t.equal(asked(of, 'a.example', 1), 'family')
  t.equal(asked(of, 'a.corp.example', 1), 'corp', 'the rules of everybody')
  t.equal(asked(of, 'a.example', 2), 'one,two', 'the resolvers of everybody')
  t.equal(asked(of, 'a.corp.example', 2), 'one,two', 'its own rules come instead')
  t.equal(asked(of, 'printer', 2), '10.0.2.1:53')
  t.equal(asked(of, 'a.corp.example', 3), 'one,two')
  t.equal(sidesOf(of).isForwarded(question('printer')), true, 'in some view')
  t.equal(sidesOf(of).isForwarded(question('a.example')), false)
})

t.test('sides that ask the same servers have one number; what a link says is for its zone alone', async (t) => {
  const { all, of } = sidesOf(
    rules([
      { zone: 'a.example', to: ['corp'] },
      { zone: 'b.example', to: ['corp'] },
      { zone: 'c.example', cleartext: '10.0.0.1:53' },
      { zone: 'd.example', cleartext: '10.0.0.1:53' },
      { zone: 'e.example', cleartext: 'link' },
      { zone: 'f.example', cleartext: 'link' },
    ]),
  )
  t.equal(all.length, 5)
  t.strictSame(
    all.map(({ number }) => number),
    [0, 1, 2, 3, 4],
  )
  const side = (name: string) => of(question(name), view(0))
  t.equal(side('x.a.example').number, side('x.b.example').number)
  t.equal(side('x.b.example').zone, 'b.example')
  t.equal(side('x.c.example').number, side('x.d.example').number)
  t.not(side('x.e.example').number, side('x.f.example').number)
  t.strictSame([side('x.a.example').ofNetwork, side('x.c.example').ofNetwork, side('x.e.example').ofNetwork], [false, true, true])
  t.match(side('x.d.example'), { rule: 'forward[3]', to: [], cleartext: '10.0.0.1:53' })
})
