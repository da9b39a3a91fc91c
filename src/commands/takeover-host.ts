import { execFile, spawn } from 'node:child_process'
import { realpathSync } from 'node:fs'
import { systemClock, systemRandom } from '../clock.ts'
import { parseListen } from '../config/listen-address.ts'
import { readStatus } from '../posture/reader.ts'
import { sendOrder } from '../system/control-client.ts'
import { controlPath } from '../system/control-socket.ts'
import { isSame } from '../system/process-identity.ts'
import { askSystem } from '../system/system-resolver.ts'
import type { CommandResult, TakeoverHost } from '../system/takeover/backend.ts'
import { askServer } from './ask-server.ts'
import { judgedConfig, type RunningService, shownService, thisHost } from './running-service.ts'

const COMMAND_MS = 10_000
const MAX_OUTPUT_OCTETS = 1 << 20
/** Programs are found for any PATH of the caller. */
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The host of this process, and the service on it. */
export function thisTakeoverHost(): TakeoverHost {
  const clock = systemClock()
  const service = (): RunningService | undefined => shownService(thisHost())
  return {
    clock,
    random: systemRandom,
    program: [process.execPath, realpathSync(process.argv[1] ?? '')],
    run: runCommand,
    detach(command, args) {
      spawn(command, args, { detached: true, stdio: 'ignore', env: { PATH } })
        .on('error', () => {})
        .unref()
    },
    async order(order) {
      const statusFile = service()?.statusFile
      return statusFile === undefined ? undefined : sendOrder(controlPath(statusFile), order, clock)
    },
    serviceUid: () => service()?.uid,
    vpnInterfaces: async () => (await judgedConfig(undefined, thisHost())).loaded?.config.policy?.vpnInterfaces ?? [],
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

function runCommand(command: string, args: readonly string[], o: { readonly input?: string; readonly limitMs?: number } = {}) {
  return new Promise<CommandResult>((resolve) => {
    const limits = { timeout: o.limitMs ?? COMMAND_MS, maxBuffer: MAX_OUTPUT_OCTETS, env: { PATH, LC_ALL: 'C', SYSTEMD_PAGER: '' } }
    const child = execFile(command, args, limits, (error, stdout, stderr) => {
      const missing = error !== null && error.code === 'ENOENT'
      resolve({ code: missing ? 127 : (child.exitCode ?? -1), stdout, stderr })
    })
    // A program that ends before it has read all its input causes no error here.
    child.stdin?.on('error', () => {})
    child.stdin?.end(o.input ?? '')
  })
}
