import type { Clock } from '../clock.ts'
import { createAuthority } from './authority.ts'
import { type DemoDaemon, startDemoDaemon, Undo } from './demo-daemon.ts'
import { startEmbeddedResolver } from './embedded-resolver.ts'
import { type LinkTap, tapLink } from './link-tap.ts'
import { DEMO_ZONE, parseZone, zoneOf } from './zone.ts'

const NAME = 'resolver.demo.example'

/**
 * All parts of the demo: a daemon, the resolver that it trusts, and a tap on the link between them.
 */
export interface DemoSetup extends DemoDaemon {
  readonly tap: LinkTap
  /** Stops the daemon and removes every file. May be called repeatedly. */
  takeDown(): Promise<void>
}

/** Starts all parts. If one part fails, the earlier ones are stopped. */
export async function startDemo(time: Clock): Promise<DemoSetup> {
  const undo = new Undo()
  try {
    const authority = await createAuthority()
    const identity = await authority.issue({ name: NAME })
    const resolver = await startEmbeddedResolver(zoneOf(parseZone(DEMO_ZONE)), identity)
    undo.add(() => resolver.close())
    const tap = await tapLink(resolver.dotPort, () => time.nowMs())
    undo.add(() => tap.close())
    const entry = {
      id: 'demo',
      operator: 'the embedded resolver of this demo',
      authenticationDomainName: NAME,
      addresses: ['127.0.0.1'],
      transports: { dot: { port: tap.port }, doh: { port: resolver.dohPort } },
      spkiPins: [identity.spkiPin],
      caFile: 'ca.pem',
    }
    const files = { 'ca.pem': authority.certificate }
    const daemon = await startDemoDaemon({ set: { resolvers: [entry] }, files }, time, undo)
    return { ...daemon, tap, takeDown: () => undo.all() }
  } catch (error) {
    await undo.all()
    throw error
  }
}
