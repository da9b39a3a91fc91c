import t from 'tap'
import { ATTRIBUTED, attribute, attributed } from '../../../bench/adversary/attribution.ts'
import { best, heldOut } from '../../../bench/adversary/closed-world.ts'
import { lookedAt, pageSet } from '../../../bench/adversary/page-set.ts'
import { alone } from '../../../bench/adversary/task-pool.ts'
import { chance } from '../../../bench/observer/chance.ts'
import { LINE_UP, MATCHED } from '../../../bench/observer/line-up.ts'
import { QUERY_BODY, Recorder, replyBody } from '../../../bench/observer/observed.ts'
import { visits } from '../../../bench/observer/pages.ts'

t.test('which slot was slow, which one brought a large reply, and which had none', (t) => {
  const recorder = new Recorder()
  const replyMs = [15, 16, 90, 15, undefined, 15, 17, 18]
  replyMs.forEach((ms, slot) => {
    recorder.add(slot * 20, QUERY_BODY)
    if (ms !== undefined) recorder.add(slot * 20 + ms, -replyBody(slot === 5 ? 2 : 1))
  })
  const { slow, large, silent } = attribute(recorder.seen())
  t.strictSame([...slow], [0, 0, 1, 0, 0, 0, 0, 0])
  t.strictSame([...large], [0, 0, 0, 0, 0, 1, 0, 0])
  t.strictSame([...silent], [0, 0, 0, 0, 1, 0, 0, 0])
  const values = new Float32Array(ATTRIBUTED)
  attributed({ atMs: new Float64Array(0), octets: new Int16Array(0) }, values, 0)
  t.ok(values.every(Number.isFinite), 'nothing was seen')
  t.end()
})

const attack = async (id: string, covers = MATCHED) => {
  const entry = LINE_UP.find((one) => one.id === id)
  if (entry === undefined) throw new Error(id)
  const { looks } = pageSet({ ...entry, covers }, 12, 20, chance('slots'))
  return looks.attack(alone, heldOut(12, 20, 8), { classes: 12, trees: 20, seed: id, mostNearest: 20 })
}

t.test('A4+ identifies covers that are never slow, but not covers that match', async (t) => {
  const quick = await attack('always-on', { ...MATCHED, misses: 'hits' })
  t.ok(quick.a4plus.low > 0.15, `never slow: ${quick.a4plus.value}`)
  const alike = await attack('always-on')
  t.ok(alike.a4plus.low < 0.12, `alike: ${alike.a4plus.value}`)
})

t.test('pages with a large reply are counted by themselves', async (t) => {
  const world = await attack('balanced-large')
  t.ok(world.marked !== undefined && world.marked.high > 0)
  t.equal((await attack('balanced')).marked, undefined)
  t.ok(best(world).value >= world.a1.value)
})

t.test('what the length of a session alone reveals', async (t) => {
  const world = await attack('lite')
  t.ok(world.length.value >= 0 && world.lengthBits >= 0 && world.lengthBits < 3)
  const [entry] = LINE_UP
  if (entry === undefined) throw new Error('no line-up')
  const { looks } = lookedAt(entry, visits(3, 6, chance('length')), 18, chance('length'))
  t.equal(looks.labels.length, 18)
})
