import t from 'tap'
import { viewsByAddress } from '../../src/rules/views.ts'

t.test('without views every client has the view of everybody', async (t) => {
  t.equal(viewsByAddress([])('192.0.2.1'), 0)
})

t.test('the smallest block decides, in any order and any spelling', async (t) => {
  const view = viewsByAddress([
    ['10.0.0.0/8', 'fd00::/16'],
    ['10.1.2.3', '10.1.0.0/16'],
    ['::ffff:10.1.2.128/121', 'fd00:0:0:1::/64'],
    ['0.0.0.0/0'],
  ])
  const cases: Readonly<Record<string, number>> = {
    '10.9.9.9': 1,
    '10.1.9.9': 2,
    '10.1.2.3': 2,
    '10.1.2.200': 3,
    '::ffff:10.1.2.200': 3,
    '192.0.2.1': 4,
    'fd00::9': 1,
    'fd00:0000:0:1::9%eth0': 3,
    'fd01::1': 0,
    '::1': 0,
    'no address': 0,
  }
  for (let round = 0; round < 2; round++) for (const [address, number] of Object.entries(cases)) t.equal(view(address), number, address)
})

t.test('a flood of addresses is forgotten', async (t) => {
  const view = viewsByAddress([['10.0.0.0/9']])
  for (let i = 0; i < 5000; i++) view(`10.${i >> 8}.${i & 255}.1`)
  t.equal(view('10.0.0.1'), 1)
  t.equal(view('10.200.0.1'), 0)
})
