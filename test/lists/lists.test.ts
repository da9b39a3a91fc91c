import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { systemRandom } from '../../src/clock.ts'
import type { ListConfig } from '../../src/config/lists.ts'
import { nameFromText } from '../../src/dns/name.ts'
import type { Event } from '../../src/events.ts'
import { listMatches, unreadLists } from '../../src/lists/list-matches.ts'
import { Lists } from '../../src/lists/lists.ts'
import { ListsInForce } from '../../src/rules/lists-in-force.ts'
import { RulesVersion } from '../../src/rules-version.ts'
import { directoryOf } from '../support/directory.ts'
import { FakeClock } from '../support/fake-clock.ts'

t.setTimeout(120_000)
// The threads that read lists do not keep a process alive.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

/** Lists of files with these texts, read by a thread, under a clock of the test. */
function scene(t: Test, texts: Readonly<Record<string, string>>) {
  const dir = directoryOf(t)
  const clock = new FakeClock()
  const version = new RulesVersion()
  const inForce = new ListsInForce(version)
  const events: Event[] = []
  const lists = new Lists({
    clock,
    random: systemRandom,
    emit: (event) => void events.push(event),
    inForce,
    stateDir: join(dir, 'state'),
    lookup: () => Promise.reject(new Error('nothing is looked up here')),
    refusal: () => undefined,
  })
  t.teardown(() => lists.stop())
  const write = (id: string, text: string) => writeFileSync(join(dir, id), text)
  for (const [id, text] of Object.entries(texts)) write(id, text)
  const config = (id: string, more: Partial<ListConfig> = {}): ListConfig => ({
    id,
    file: join(dir, id),
    format: 'auto',
    action: 'block',
    ...more,
  })
  const blocks = (name: string, view = 0) => inForce.ofName(nameFromText(name), 0, view)?.list
  const states = () => lists.status().map(({ id, state }) => `${id} ${state}`)
  return { clock, version, inForce, events, lists, write, config, blocks, states, dir }
}

t.test('a first start leaves out what cannot be used, says so, and takes it once it can be', async (t) => {
  const { lists, config, blocks, states, events } = scene(t, { good: 'a.example\n', bad: '\0\0' })
  const started = lists.start({ lists: [config('good'), config('bad')], views: [] })
  t.strictSame(states(), ['good loading', 'bad loading'])
  await started
  t.equal(blocks('a.example'), 'good')
  t.strictSame(states(), ['good in-force', 'bad missing'])
  t.match(events.at(-1), { type: 'lists', faults: [{ id: 'bad', missing: true, why: /NUL/ }] })
})

t.test('a reload is prepared without effect, and refused as a whole', async (t) => {
  const { lists, config, blocks, version, write } = scene(t, { one: 'a.example\n', two: 'b.example\n' })
  await lists.start({ lists: [config('one')], views: [] })
  const before = version.current
  const prepared = await lists.prepare({ lists: [config('one'), config('two')], views: [] })
  t.equal(blocks('b.example'), undefined)
  t.equal(version.current, before)
  lists.adopt(prepared)
  t.equal(blocks('b.example'), 'two')
  t.not(version.current, before, 'stored answers are judged again')
  write('two', '<html>')
  const refused = await lists.prepare({ lists: [config('two')], views: [] }).catch((error: unknown) => error)
  t.match(refused, { code: 'config', message: /the list "two" cannot be used: .*web page/ })
  t.equal(blocks('b.example'), 'two', 'the old state stays')
  lists.adopt(await lists.prepare({ lists: [], views: [] }))
  t.equal(blocks('a.example'), undefined)
  t.strictSame(lists.status(), [])
})

t.test('a view has its own lists; everybody else has all', async (t) => {
  const { lists, config, blocks } = scene(t, { ads: 'ads.example\n', games: 'games.example\n' })
  await lists.start({ lists: [config('ads'), config('games')], views: [['ads'], undefined, []] })
  t.strictSame(
    [0, 1, 2, 3].map((view) => blocks('games.example', view)),
    ['games', undefined, 'games', undefined],
  )
  t.strictSame(
    [0, 1, 2, 3].map((view) => blocks('ads.example', view)),
    ['ads', 'ads', 'ads', undefined],
  )
})

t.test('a pause ends by itself; hours begin and end within a minute', async (t) => {
  const { lists, config, blocks, states, clock, version } = scene(t, { ads: 'ads.example\n', night: 'night.example\n' })
  const now = new Date(clock.wallMs())
  const hour = (add: number) => `${String((now.getHours() + add + 24) % 24).padStart(2, '0')}:00`
  await lists.start({ lists: [config('ads'), config('night', { when: { hours: `${hour(1)}-${hour(2)}` } })], views: [] })
  t.strictSame(states(), ['ads in-force', 'night resting'])
  t.strictSame(lists.pause(600_000, 'ads'), ['ads'])
  t.equal(blocks('ads.example'), undefined)
  t.equal(lists.status()[0]?.pausedUntilMs, clock.wallMs() + 600_000)
  await clock.advance(599_000)
  t.equal(blocks('ads.example'), undefined)
  const before = version.current
  await clock.advance(2000)
  t.equal(blocks('ads.example'), 'ads')
  t.not(version.current, before)
  t.equal(lists.pause(1000, 'none'), undefined)
  t.equal(blocks('night.example'), undefined)
  await clock.advance(3_600_000)
  t.equal(blocks('night.example'), 'night')
  t.strictSame(states(), ['ads in-force', 'night in-force'])
  await clock.advance(3_600_000)
  t.equal(blocks('night.example'), undefined)
})

t.test('the sources are read again to name the line of a rule; the first match is the one that decides', async (t) => {
  const { config, dir, clock } = scene(t, {
    ads: '# ads\n||ads.example^\n0.0.0.0 one.example\n',
    mine: '\n\nok.ads.example\n',
    rest: 'ads.example\n',
  })
  const lists = [config('ads'), config('mine', { action: 'allow' }), config('rest', { when: { hours: '00:00-00:01' } })]
  const sources = { lists, stateDir: join(dir, 'state') }
  const of = async (name: string, ids?: readonly string[]) =>
    (await listMatches(sources, { name: nameFromText(name) }, clock.wallMs() + 7_200_000, ids)).map(
      ({ list, line, rule, allows, applies }) =>
        `${list} line ${line} ${rule} ${allows ? 'allows' : 'blocks'}${applies ? '' : ', not now'}`,
    )
  t.strictSame(await of('x.ads.example'), ['ads line 2 ||ads.example^ blocks', 'rest line 1 ads.example blocks, not now'])
  t.strictSame((await of('a.ok.ads.example'))[0], 'mine line 3 ok.ads.example allows')
  t.strictSame(await of('a.ok.ads.example', ['ads']), ['ads line 2 ||ads.example^ blocks'])
  t.strictSame(await of('one.example'), ['ads line 3 0.0.0.0 one.example blocks'])
  t.strictSame(await of('a.one.example'), [])
  t.strictSame(await of('xads.example'), [])
  t.strictSame(unreadLists(sources), [])
  rmSync(lists[0]?.file ?? '')
  t.strictSame(unreadLists(sources), ['ads'])
  t.strictSame(unreadLists(sources, ['mine']), [])
})

t.test('a file that changes while a reload is prepared or adopted: the lists of the new configuration stay in force', async (t) => {
  const { lists, config, blocks, write, clock } = scene(t, { one: 'a.example\n', two: 'b.example\n' })
  const until = async (what: string, is: () => boolean) => {
    for (const end = performance.now() + 60_000; !is(); await sleep(20)) {
      if (performance.now() > end) throw new Error(what)
      await clock.advance(1000)
    }
  }
  await lists.start({ lists: [config('one'), config('two')], views: [] })
  // Queued behind the reload: it was asked for under the old configuration.
  write('two', 'b2.example\n')
  const preparing = lists.prepare({ lists: [config('one')], views: [] })
  await clock.advance(5000)
  lists.adopt(await preparing)
  await sleep(300)
  t.equal(blocks('b.example') ?? blocks('b2.example'), undefined, 'a list that was removed is not put in force again')
  t.equal(blocks('a.example'), 'one')
  // Read again between the two halves of a reload: the newer content wins.
  const prepared = await lists.prepare({ lists: [config('one'), config('two')], views: [] })
  write('one', 'a2.example\n')
  await until('the new content', () => blocks('a2.example') === 'one')
  lists.adopt(prepared)
  await until('the new content under the new configuration', () => blocks('a2.example') === 'one' && blocks('b2.example') === 'two')
})

t.test('the end of the pause of one list under a pause of all ends it, and the others stay paused', async (t) => {
  const { lists, config, states, clock } = scene(t, { ads: 'ads.example\n', rest: 'rest.example\n' })
  await lists.start({ lists: [config('ads'), config('rest')], views: [] })
  lists.pause(600_000, undefined)
  t.strictSame(lists.pause(0, 'ads'), ['ads'])
  t.strictSame(states(), ['ads in-force', 'rest paused'])
  await clock.advance(601_000)
  t.strictSame(states(), ['ads in-force', 'rest in-force'])
})

t.test('a list that loses all its rules at once is damaged: its earlier rules stay, and the fault is reported', async (t) => {
  const rpz = '$ORIGIN rpz.example.\n@ SOA a. b. 1 2 3 4 5\nads.example CNAME .\n'
  const { lists, config, blocks, write, events, clock, states } = scene(t, { one: 'a.example\n', zone: rpz, other: 'o.example\n' })
  const setup = { lists: [config('one'), config('zone', { format: 'rpz' }), config('other')], views: [] }
  await lists.start(setup)
  const faults = () => lists.status().flatMap(({ id, fault }) => (fault === undefined ? [] : [`${id}: ${fault}`]))
  const until = async (what: string, is: () => boolean) => {
    for (const end = performance.now() + 60_000; !is(); await sleep(20)) {
      if (performance.now() > end) throw new Error(`${what} ${faults().join()}`)
      await clock.advance(100)
    }
  }
  const emptied = { '': 'one', '# comments only\n\n! x\n': 'one', '\n \n': 'other', '; no rule\n': 'zone' }
  const sound = { one: 'a.example\n', zone: rpz, other: 'o.example\n' }
  for (const [text, id] of Object.entries(emptied)) {
    write(id, text)
    await until('the fault', () => faults().length === 1)
    t.match(faults()[0], new RegExp(`^${id}: it is empty or has only comments, but it had rules before`))
    t.match(events.at(-1), { type: 'lists', faults: [{ id, missing: false }] })
    const refused = await lists.prepare(setup).catch((error: unknown) => error)
    t.match(refused, { code: 'config', message: new RegExp(`the list "${id}" cannot be used: it is empty`) }, 'a reload neither')
    t.strictSame(
      ['a.example', 'ads.example', 'o.example'].map((name) => blocks(name)),
      ['one', 'zone', 'other'],
    )
    write(id, sound[id as keyof typeof sound])
    await until('no fault', () => faults().length === 0)
  }
  write('two', '')
  lists.adopt(await lists.prepare({ lists: [{ ...config('one'), file: `${config('two').file}` }], views: [] }))
  t.strictSame(states(), ['one missing'], 'another source under the same id may be empty')
})

t.test('a list that is empty at the first start has no effect, and that is reported', async (t) => {
  const { lists, config, blocks, write, events, states, clock } = scene(t, { good: 'a.example\n', mine: '# nothing yet\n' })
  await lists.start({ lists: [config('good'), config('mine')], views: [] })
  t.strictSame(states(), ['good in-force', 'mine missing'])
  t.match(events.at(-1), { type: 'lists', faults: [{ id: 'mine', missing: true, why: /it is empty or has only comments/ }] })
  t.match(lists.status()[1]?.fault, 'it is empty')
  write('mine', 'b.example\n')
  for (const end = performance.now() + 10_000; blocks('b.example') === undefined && performance.now() < end; await sleep(20))
    await clock.advance(100)
  t.strictSame(states(), ['good in-force', 'mine in-force'])
  t.match(events.at(-1), { type: 'lists', faults: [] })
})
