import t from 'tap'
import { tableOf } from '../../bench/recovery/table.ts'

t.test('one line per case, one column per stub, and our p99 compared with the best of the others', async (t) => {
  const timesMs = { 'enigm-dns': [90, 100, 110], unbound: [150, 200, 250], stubby: [60_000, 60_000] }
  const table = tableOf(['enigm-dns', 'unbound', 'stubby'], [{ id: 'x', title: 'a fault', resolvers: 1, timesMs }], 60_000)
  t.same(table.split('\n'), [
    '| fault | runs | enigm-dns | unbound | stubby | our p99 / best other p99 |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    '| a fault | 3 | 100 ms (p99 110 ms) | 200 ms (p99 250 ms) | > 60 s, > 60 s | 0.44 |',
  ])
})

t.test('missing measurements are a dash', async (t) => {
  const alone = { id: 'x', title: 'a fault', resolvers: 1, timesMs: { 'enigm-dns': [1500] } }
  t.match(tableOf(['enigm-dns', 'unbound'], [alone], 60_000), '| a fault | 1 | 1.5 s | - | - |')
})
