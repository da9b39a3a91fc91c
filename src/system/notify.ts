import type { Clock, Timer } from '../clock.ts'
import { type Koffi, withKoffi } from './koffi.ts'

const AF_UNIX = 1
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000
const MSG_NOSIGNAL = 0x4000
const AT_SIGN = 0x40
/** A watchdog that is fed twice in its time survives one late turn. */
const FEEDS_PER_PERIOD = 2

/** Tells the service manager how this process is doing (sd_notify(3)). Never throws. */
export interface ServiceNotifier {
  /** Whether there is a manager that wants to know and can be told. */
  readonly active: boolean
  /** Every listener is bound. Begins to feed the watchdog, where the manager has set one. */
  ready(): void
  /** One line on what it does, for `systemctl status`. */
  status(line: string): void
  /** A configuration is being read; `ready` ends it. */
  reloading(): void
  stopping(): void
}

interface NotifierOptions {
  readonly clock: Clock
  readonly env?: { [name: string]: string | undefined }
  readonly pid?: number
  /** Sends one datagram; undefined: koffi does, if it is there. Replaced in tests. */
  readonly send?: (socket: string, message: string) => boolean
}

/**
 * The manager that started this process, if its unit says Type=notify. Takes the variables out of
 * the environment, so that no child speaks for this process. `lost`: it waits for word, and there
 * is no way to give it.
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
 * A datagram goes by sendto(2), since Node has no sockets of this kind; a process that was started
 * for it would not be believed (NotifyAccess=main).
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

/** sockaddr_un (unix(7)): a path and its NUL, or after `@` an abstract name without one. */
function unixName(path: string): Buffer {
  const octets = Buffer.from(path)
  const abstract = octets[0] === AT_SIGN
  if (abstract) octets[0] = 0
  const name = Buffer.alloc(2 + octets.length + (abstract ? 0 : 1))
  name.writeUInt16LE(AF_UNIX, 0)
  octets.copy(name, 2)
  return name
}
