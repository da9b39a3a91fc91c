import t from 'tap'
import { createAuthority } from '../../src/demo/authority.ts'
import { startDot } from '../support/dot-server.ts'
import { FAULT_ZONE, rightAnswer } from '../support/faults/answers.ts'
import { FAULT_SERVER_NAME } from '../support/faults/server.ts'
import { insideNamespace } from '../support/real/namespace.ts'
import { trustedRig } from '../support/trusted-rig.ts'

const entry = (id: string, addresses: readonly string[], port: number) => ({
  ...{ id, authenticationDomainName: FAULT_SERVER_NAME, addresses, caFile: 'ca.pem' },
  transports: { dot: { port } },
})

if (insideNamespace(t, import.meta.url))
  for (const profile of ['off', 'balanced'])
    t.test(`without a route: unreachable resolvers and addresses cost nothing (${profile})`, async (t) => {
      const authority = await createAuthority()
      const identity = await authority.issue({ name: FAULT_SERVER_NAME })
      const good = await startDot({ identity, answer: (query) => rightAnswer(query) })
      t.teardown(() => good.close())
      const far = Array.from({ length: 7 }, (_, i) => [`198.51.100.${i + 1}`, `2001:db8::${i + 1}`])
      const sets = [
        [...far.map((addresses, i) => entry(`far${i}`, addresses, 853)), entry('good', ['127.0.0.1'], good.port)],
        [entry('good', [...far.flat(), '127.0.0.1'], good.port)],
      ]
      for (const resolvers of sets) {
        const rig = await trustedRig(t, { resolvers, ca: authority.certificate, config: { shaping: { profile } } })
        const beganMs = performance.now()
        t.equal(await rig.ask(`first.${FAULT_ZONE}`), 'answered')
        t.ok(performance.now() - beganMs < 1500)
        await rig.close()
      }
    })
