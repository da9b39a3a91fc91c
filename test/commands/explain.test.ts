import t from 'tap'
import { explainCommand } from '../../src/commands/explain.ts'
import type { Host } from '../../src/commands/running-service.ts'
import { FakeClock } from '../support/fake-clock.ts'

t.test('a service that accepts no commands from this user is not called absent', async (t) => {
  const dir = t.testdir({ 'config.json': '{}' })
  const config = `${dir}/config.json`
  const service = { pid: 1, config, uid: 0, statusFile: `${dir}/status.json`, stateDir: dir, listen: [], namespace: undefined }
  const shown = async (services: readonly object[], uid: number) => {
    let text = ''
    const host = { services: () => services, likely: () => [], namespace: () => undefined, uid, statusFiles: [] } as unknown as Host
    const write = (said: string) => {
      text += said
    }
    const out = { write }
    const world = { out, err: out, clock: new FakeClock(), exit() {}, host }
    await explainCommand(world).parseAsync(['www.example.com', '--config', config], { from: 'user' })
    return text
  }
  t.match(await shown([service], 65_534), /cache +unknown +the service accepts no commands from this user; run this as its user or root/)
  t.match(await shown([], 65_534), /cache +unknown +no service answers/)
})
