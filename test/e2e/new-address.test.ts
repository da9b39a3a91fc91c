import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { query } from '../support/messages.ts'
import { startDaemon } from '../support/real/daemon.ts'
import { insideNamespace } from '../support/real/namespace.ts'

const ip = (command: string) => execFileSync('ip', command.split(' '))
const LOCAL_QUESTION = query({ name: 'printer.local' })

/** Milliseconds until UDP on `address` answers, asked every 20 ms; undefined after 5 s. */
async function answersAfter(address: string, port: number): Promise<number | undefined> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  const began = performance.now()
  let answered: number | undefined
  socket.on('message', (_reply, from) => {
    if (from.address === address) answered ??= performance.now() - began
  })
  socket.on('error', () => {})
  while (answered === undefined && performance.now() - began < 5000) {
    socket.send(LOCAL_QUESTION, port, address, () => {})
    await sleep(20)
  }
  socket.close()
  return answered
}

if (insideNamespace(t, import.meta.url)) {
  for (const [workers, udp] of [
    [1, 'dgram'],
    [1, 'auto'],
    [2, 'auto'],
  ] as const)
    t.test(`a new address under a wildcard answers UDP at once: ${workers} worker(s), udp ${udp}`, async (t) => {
      const resolvers = [{ id: 'a', authenticationDomainName: 'a.example', addresses: ['192.0.2.1'], transports: { dot: {} } }]
      const config = { allowFrom: ['0.0.0.0/0', '::/0'], workers, udp }
      for (const [listen, address, width] of [
        ['0.0.0.0:5353', '10.9.8.7', 32],
        ['[::]:5353', 'fd00::9:8', 128],
      ] as const) {
        const daemon = await startDaemon({ resolvers, config, listen })
        t.teardown(() => daemon.stop())
        const family = width === 32 ? '-4' : '-6'
        ip(`${family} addr add ${address}/${width} dev lo`)
        const first = await answersAfter(address, 5353)
        t.ok(first !== undefined && first < 1000, `${address} after ${first} ms`)
        ip(`${family} addr del ${address}/${width} dev lo`)
        await sleep(100)
        ip(`${family} addr add ${address}/${width} dev lo`)
        const again = await answersAfter(address, 5353)
        t.ok(again !== undefined && again < 2500, `back after ${again} ms, once its first socket has drained`)
        ip(`${family} addr del ${address}/${width} dev lo`)
        t.equal(await daemon.stop(), 0)
      }
    })
}
