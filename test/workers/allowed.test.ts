import t from 'tap'
import { workersRefusal } from '../../src/workers/allowed.ts'

t.test('one worker runs everywhere; more need batched sockets, and the sentence names the mend', (t) => {
  for (const udp of ['auto', 'dgram', 'batch'] as const)
    for (const batched of [true, false]) t.equal(workersRefusal(1, udp, batched), undefined)
  t.equal(workersRefusal(2, 'auto', true), undefined)
  t.equal(workersRefusal(64, 'batch', true), undefined)
  for (const batched of [true, false])
    t.match(workersRefusal(2, 'dgram', batched), { code: 'listen', message: /set udp to "auto", or set workers to 1/ })
  for (const udp of ['auto', 'batch'] as const)
    t.match(workersRefusal(3, udp, false), { code: 'listen', message: /workers is set to 3.*koffi: install it, or set workers to 1/ })
  t.end()
})
