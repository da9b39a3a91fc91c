import type { Clock, Timer } from '../clock.ts'
import { type Koffi, withKoffi } from './koffi.ts'

const AF_UNIX = 1
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000
const MSG_NOSIGNAL = 0x4000
const AT_SIGN = 0x40
/** The watchdog is fed this often per period, so that one late turn is tolerated. */
const FEEDS_PER_PERIOD = 2

/** Reports the state of this process to the service manager (sd_notify(3)). Never throws. */
export interface ServiceNotifier {
  /** Whether a service manager expects reports and can be reached. */
  readonly active: boolean
  /**
   * Reports that every listener is bound. Starts feeding the watchdog, if the manager has set one.
   */
  ready(): void
  /** Reports the activity in one line, for `systemctl status`. */
  status(line: string): void
  /** Reports that a configuration is being read; `ready` ends this. */
  reloading(): void
  stopping(): void
}

interface NotifierOptions {
  readonly clock: Clock
  readonly env?: { [name: string]: string | undefined }
  readonly pid?: number
  /** Sends one datagram. Default: with koffi, if it is installed. Replaced in tests. */
  readonly send?: (socket: string, message: string) => boolean
}

/**
 * Makes the notifier for the service manager that started this process, if its unit has
 * Type=notify. Removes the variables from the environment, so that no child reports for this
 * process. `lost`: the manager waits for reports, but they cannot be sent.
 */
export function serviceNotifier({ clock, env = process.env, pid = process.pid, send }: NotifierOptions): ServiceNotifier & {
  readonly lost: boolean
} {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: watched } = env
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name]
  const sender = socket === undefined ? undefined : (send ?? withKoffi(datagramSender))
  const tell = (...lines: readonly string[]) => {
    if (socket !== undefined) sender?.(socket, lines.join('\n'))
  }
  const periodMs = watched === undefined || Number(watched) === pid ? Number(usec) / 1000 : Number.NaN
  let timer: Timer | undefined
  const feed = () => {
    tell('WATCHDOG=1')
    timer = clock.setTimer(periodMs / FEEDS_PER_PERIOD, feed)
  }
  let said = ''
  return {
    active: sender !== undefined,
    lost: socket !== undefined && sender === undefined,
    ready() {
      tell('READY=1')
      if (periodMs > 0 && timer === undefined && sender !== undefined) feed()
    },
    status(line) {
      if (line !== said) tell(`STATUS=${line.replaceAll('\n', ' ')}`)
      said = line
    },
    reloading: () => tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: () => tell('STOPPING=1'),
  }
}

/**
 * Sends datagrams with sendto(2), because Node has no Unix datagram sockets. The manager would not
 * accept a child process as the sender (NotifyAccess=main).
 */
function datagramSender(koffi: Koffi): (socket: string, message: string) => boolean {
  const socket = koffi.c('int socket(int, int, int)')
  // koffi has no ssize_t.
  const sendto = koffi.c('long sendto(int, void *, size_t, int, void *, uint32_t)')
  const close = koffi.c('int close(int)')
  return (path, message) => {
    const fd = socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0)
    if (fd < 0) return false
    const name = unixName(path)
    const octets = Buffer.from(message)
    const sent = Number(sendto(fd, octets, octets.length, MSG_NOSIGNAL, name, name.length))
    close(fd)
    return sent === octets.length
  }
}

/** A sockaddr_un (unix(7)): a path with its NUL, or an abstract name (after `@`) without a NUL. */
function unixName(path: string): Buffer {
  const octets = Buffer.from(path)
  const abstract = octets[0] === AT_SIGN
  if (abstract) octets[0] = 0
  const name = Buffer.alloc(2 + octets.length + (abstract ? 0 : 1))
  name.writeUInt16LE(AF_UNIX, 0)
  octets.copy(name, 2)
  return name
}
