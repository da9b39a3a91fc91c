import { spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { systemClock, systemRandom } from '../clock.ts'
import { parseListen } from '../config/listen-address.ts'
import { readStatus } from '../posture/reader.ts'
import { sendCommand } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { isSame } from '../system/process-identity.ts'
import { runCommand, SYSTEM_PATH } from '../system/run-command.ts'
import { askSystem } from '../system/system-resolver.ts'
import type { TakeoverHost } from '../system/takeover/backend.ts'
import { askServer } from './ask-server.ts'
import { findConfig, type RunningService, shownService, thisHost } from './running-service.ts'

/** Access to this host and to the service on it, for the takeover of the system's DNS. */
export function thisTakeoverHost(): TakeoverHost {
  const clock = systemClock()
  const service = (): RunningService | undefined => shownService(thisHost())
  return {
    clock,
    random: systemRandom,
    program: [process.execPath, realpathSync(process.argv[1] ?? '')],
    run: runCommand,
    detach(command, args) {
      spawn(command, args, { detached: true, stdio: 'ignore', env: { PATH: SYSTEM_PATH } })
        .on('error', () => {})
        .unref()
    },
    async order(order) {
      const statusFile = service()?.statusFile
      return statusFile === undefined ? undefined : sendCommand(controlPath(statusFile), order, clock)
    },
    serviceUid: () => service()?.uid,
    vpnInterfaces: async () => (await findConfig(undefined, thisHost())).loaded?.config.policy?.vpnInterfaces ?? [],
    listens: () => (service()?.listen ?? []).flatMap((text) => parseListen(text) ?? []),
    authenticated() {
      const statusFile = service()?.statusFile
      const state = statusFile === undefined ? undefined : readStatus(statusFile, { wallMs: clock.wallMs(), isSame }).document?.state
      return state === undefined || state === 'offline' ? undefined : state !== 'exposed'
    },
    ask: async (server, query, over, limitMs) =>
      (await askServer(server, query, { clock, timeoutMs: limitMs, tcpOnly: over === 'tcp' })).wire,
    lookup: askSystem,
    step() {},
  }
}
