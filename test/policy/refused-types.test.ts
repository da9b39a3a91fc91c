import t from 'tap'
import { refusedTypes } from '../../src/policy/refused-types.ts'
import type { Answer, Query } from '../../src/resolve.ts'

const UPSTREAM: Answer = { wire: new Uint8Array(12), rcode: 0, storeS: 'no', from: { upstream: 'u', transport: 'dot' } }
const resolve = refusedTypes()(async () => UPSTREAM)

function ask(type: number): Promise<Answer> {
  const wire = Uint8Array.of(1, 97, 0, type >> 8, type & 255, 0, 1)
  const query: Query = {
    id: 0,
    question: { wire, lower: wire, type, class: 1 },
    authenticData: false,
    checkingDisabled: false,
    edns: undefined,
    client: { address: '127.0.0.1', transport: 'udp' },
    view: 0,
  }
  return resolve(query, { purpose: 'client', deadlineMs: 0 })
}

t.test('transfers and meta types are refused here and not kept', async (t) => {
  for (const type of [41, 249, 250, 251, 252, 253, 254]) {
    const answer = await ask(type)
    t.match(answer, { rcode: 5, storeS: 'no', from: 'policy', ede: { code: 21 } }, `type ${type}`)
    t.equal((answer.wire[3] ?? 0) & 15, 5)
    t.equal((answer.wire[2] ?? 0) & 0x80, 0x80)
  }
})

t.test('every other type is passed on, ANY too', async (t) => {
  for (let type = 1; type < 65536; type++) {
    if (type === 41 || (type >= 249 && type <= 254)) continue
    if ((await ask(type)) !== UPSTREAM) t.fail(`type ${type}`)
  }
  t.pass()
})
