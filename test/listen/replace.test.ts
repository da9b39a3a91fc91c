import t from 'tap'
import type { SocketAddress } from '../../src/config/listen-address.ts'
import { EnigmError } from '../../src/errors.ts'
import type { Listener } from '../../src/listen/listener.ts'
import { replaceListeners } from '../../src/listen/replace.ts'

const at = (address: string, port: number): SocketAddress => ({ address, port })

/** A host where an address and its wildcard exclude each other, and `taken` is somebody else's. */
function host(taken: readonly SocketAddress[] = []) {
  const log: string[] = []
  const open = new Set<string>()
  const name = ({ address, port }: SocketAddress) => `${address}:${port}`
  const bind = async (endpoints: readonly SocketAddress[]): Promise<readonly Listener[]> => {
    for (const e of endpoints) {
      const clash = [...open].some((o) => o.endsWith(`:${e.port}`) && (o.startsWith('0.0.0.0') || e.address === '0.0.0.0'))
      if (clash || open.has(name(e)) || taken.some((other) => name(other) === name(e)))
        throw new EnigmError('listen', `${name(e)} is taken`)
    }
    return endpoints.flatMap((e) => {
      log.push(`open ${name(e)}`)
      open.add(name(e))
      const close = async () => {
        if (open.delete(name(e))) log.push(`close ${name(e)}`)
      }
      return (['udp', 'tcp'] as const).map((transport) => ({ ...e, transport, close }))
    })
  }
  return { log, open, bind }
}

t.test('endpoints in both are not touched; the new one is open before the old one closes', async (t) => {
  const h = host()
  const before = [at('127.0.0.1', 53), at('127.0.0.2', 53)]
  const current = await h.bind(before)
  h.log.length = 0
  const change = await replaceListeners(current, before, [at('127.0.0.1', 53), at('127.0.0.3', 53)], h.bind)
  t.strictSame(h.log, ['open 127.0.0.3:53'])
  await change.keep()
  t.strictSame(h.log, ['open 127.0.0.3:53', 'close 127.0.0.2:53'])
  t.strictSame(
    change.after.map(({ address, transport }) => `${address} ${transport}`),
    ['127.0.0.1 udp', '127.0.0.1 tcp', '127.0.0.3 udp', '127.0.0.3 tcp'],
  )
})

t.test('an address and its wildcard replace each other', async (t) => {
  for (const [from, to] of [
    ['127.0.0.1', '0.0.0.0'],
    ['0.0.0.0', '127.0.0.1'],
  ] as const) {
    const h = host()
    const current = await h.bind([at(from, 53)])
    const change = await replaceListeners(current, [at(from, 53)], [at(to, 53)], h.bind)
    await change.keep()
    t.strictSame([...h.open], [`${to}:53`])
  }
})

t.test('another port, or another family, does not block', async (t) => {
  const h = host()
  const current = await h.bind([at('127.0.0.1', 53)])
  h.log.length = 0
  await replaceListeners(current, [at('127.0.0.1', 53)], [at('0.0.0.0', 54), at('::', 53)], h.bind)
  t.strictSame(h.log, ['open 0.0.0.0:54', 'open :::53'])
})

t.test('a failure to open changes nothing, and reports the reason', async (t) => {
  const h = host([at('0.0.0.0', 53)])
  const before = [at('127.0.0.1', 53)]
  const current = await h.bind(before)
  await t.rejects(replaceListeners(current, before, [at('0.0.0.0', 53)], h.bind), { message: '0.0.0.0:53 is taken' })
  t.strictSame([...h.open], ['127.0.0.1:53'], 'the old one came back')
})

t.test('undo: opened endpoints close, and closed ones open again', async (t) => {
  const h = host()
  const before = [at('127.0.0.1', 53), at('127.0.0.1', 54)]
  const current = await h.bind(before)
  const change = await replaceListeners(current, before, [at('0.0.0.0', 53), at('127.0.0.1', 54)], h.bind)
  const after = await change.undo()
  t.strictSame([...h.open].sort(), ['127.0.0.1:53', '127.0.0.1:54'])
  t.equal(after.length, 4)
})

t.test('port 0 keeps its actual port', async (t) => {
  const h = host()
  const got = await h.bind([at('127.0.0.1', 4711)])
  h.log.length = 0
  const change = await replaceListeners(got, [at('127.0.0.1', 0)], [at('127.0.0.1', 0)], h.bind)
  await change.keep()
  t.strictSame(h.log, [])
})
