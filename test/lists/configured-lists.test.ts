import t from 'tap'
import { systemRandom } from '../../src/clock.ts'
import type { ListConfig } from '../../src/config/lists.ts'
import { nameFromText } from '../../src/dns/name.ts'
import { synthesise } from '../../src/dns/response.ts'
import { ConfiguredLists } from '../../src/lists/configured-lists.ts'
import { questionFor } from '../../src/rules/own-answers.ts'
import { directoryOf } from '../support/directory.ts'
import { FakeClock } from '../support/fake-clock.ts'

t.test('no stored answer may be used before the lists of the configuration are read', (t) => {
  const lists = new ConfiguredLists({
    clock: new FakeClock(),
    random: systemRandom,
    stateDir: directoryOf(t),
    current: () => ({ stages: [], timeoutMs: 1000 }),
    refusal: () => undefined,
    emit() {},
  })
  const ads: ListConfig = { id: 'ads', file: '/none', format: 'auto', action: 'block' }
  const wire = synthesise(questionFor(nameFromText('ads.example'), 1), { rcode: 0 })
  t.equal(lists.allows({ lists: [ads] }, wire, 0), false)
  t.equal(lists.allows({ lists: [] }, wire, 0), true, 'without a list nothing is awaited')
  lists.inForce.swap(undefined, { lists: [], sets: [] })
  t.equal(lists.allows({ lists: [ads] }, wire, 0), true)
  t.end()
})
