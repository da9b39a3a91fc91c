import { type Authority, createAuthority } from '../../src/demo/authority.ts'
import type { Protocol } from '../../test/support/faults/fault.ts'
import type { Weather } from '../../test/support/faults/path.ts'
import { seeded } from '../../test/support/faults/seeded.ts'
import { type FaultServer, startFaultServer } from '../../test/support/faults/server.ts'
import { faultEntry } from '../../test/support/faults/trusted.ts'
import { type DaemonSpec, type RunningDaemon, startDaemon } from '../../test/support/real/daemon.ts'
import { type Asker, askerAt } from './asker.ts'

export interface SceneWish {
  /** One resolver each. */
  readonly protocols: readonly Protocol[]
  readonly usual?: Partial<Weather>
  readonly config?: Readonly<Record<string, unknown>>
  readonly daemon?: Partial<DaemonSpec>
}

/** Fault servers, the built daemon as a child before them, and who asks it. */
export interface Scene {
  readonly servers: readonly FaultServer[]
  readonly daemon: RunningDaemon
  readonly asker: Asker
  readonly authority: Authority
  /** The first server. */
  readonly server: FaultServer
  /** What the servers saw that a stub of ours never does. */
  readonly unexpected: readonly string[]
  close(): Promise<void>
}

/** Starts it and waits until a first name is answered. */
export async function startScene(wish: SceneWish, seed: number): Promise<Scene> {
  const authority = await createAuthority()
  const chance = seeded(seed)
  const unexpected: string[] = []
  const servers = await Promise.all(
    wish.protocols.map((protocol) =>
      startFaultServer({
        authority,
        protocol,
        chance: chance.branch(),
        unexpected: (what) => void unexpected.push(what),
        ...(wish.usual === undefined ? {} : { usual: wish.usual }),
      }),
    ),
  )
  const [server] = servers
  if (server === undefined) throw new Error('a scene needs a server')
  const daemon = await startDaemon({
    resolvers: servers.map(({ protocol, port }, i) => faultEntry(`fault${i + 1}`, protocol, port)),
    ca: authority.certificate,
    ...(wish.config === undefined ? {} : { config: wish.config }),
    ...wish.daemon,
  })
  const asker = await askerAt(daemon.port)
  return {
    servers,
    server,
    daemon,
    asker,
    authority,
    unexpected,
    async close() {
      asker.close()
      await daemon.stop()
      await Promise.all(servers.map((server) => server.close()))
    },
  }
}
