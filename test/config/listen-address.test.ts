import fc from 'fast-check'
import t from 'tap'
import { parseListen } from '../../src/config/listen-address.ts'

t.test('addresses with a port', async (t) => {
  t.strictSame(parseListen('127.0.0.53:53'), { address: '127.0.0.53', port: 53 })
  t.strictSame(parseListen('[::1]:5353'), { address: '::1', port: 5353 })
  t.strictSame(parseListen('0.0.0.0:65535'), { address: '0.0.0.0', port: 65535 })
  t.strictSame(parseListen('127.0.0.1:0'), { address: '127.0.0.1', port: 0 })
  t.strictSame(parseListen('[fe80::1%eth0]:53'), { address: 'fe80::1%eth0', port: 53 })
})

t.test('invalid addresses', async (t) => {
  for (const text of [
    '',
    '127.0.0.1',
    ':53',
    '::1:53',
    '[::1]',
    '[127.0.0.1]:53',
    'localhost:53',
    '127.0.0.1:65536',
    '127.0.0.1:053',
    '127.0.0.1:-1',
    '127.0.0.1:5x',
    ' 127.0.0.1:53',
    '[::1]:53 ',
    '[[::1]]:53',
    '1.2.3:53',
    '127.0.0.1:53\n',
  ]) {
    t.equal(parseListen(text), undefined, JSON.stringify(text))
  }
})

t.test('property: parses valid addresses, and never throws', async () => {
  fc.assert(fc.property(fc.ipV4(), fc.nat({ max: 65535 }), (address, port) => parseListen(`${address}:${port}`)?.port === port))
  fc.assert(fc.property(fc.ipV6(), fc.nat({ max: 65535 }), (address, port) => parseListen(`[${address}]:${port}`)?.address === address))
  fc.assert(fc.property(fc.string(), (text) => parseListen(text) === undefined || text.includes(':')))
})
