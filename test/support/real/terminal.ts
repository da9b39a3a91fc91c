import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { pathOf } from './tools.ts'

/**
 * A command in a terminal of its own, as in a window: it leads the session, and whatever it starts
 * is in the foreground.
 */
export interface Terminal {
  /** What the window showed so far, escapes and all. */
  text(): string
  /** Resolves once `pattern` was shown; rejects after `ms`. */
  until(pattern: RegExp, ms?: number): Promise<void>
  /** Types. */
  type(text: string): void
  /** Closes the window, as its button does; resolves once the terminal is gone. */
  close(): Promise<void>
  /** Process number of the command. */
  readonly pid: number
}

const PYTHON = `
import fcntl, os, pty, select, struct, sys, termios
columns, rows = int(sys.argv[1]), int(sys.argv[2])
pid, master = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
    os.execvp(sys.argv[3], sys.argv[3:])
os.write(2, b'%d\\n' % pid)
while True:
    readable, _, _ = select.select([0, master], [], [])
    if master in readable:
        try:
            octets = os.read(master, 65536)
        except OSError:
            octets = b''
        if not octets:
            break
        os.write(1, octets)
    if 0 in readable:
        octets = os.read(0, 65536)
        if not octets:
            break
        os.write(master, octets)
os.close(master)
`

/** Opens a terminal of this size and runs `command` in it; needs python3. */
export async function openTerminal(
  command: readonly string[],
  o: { readonly columns?: number; readonly rows?: number; readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<Terminal> {
  const size = [String(o.columns ?? 80), String(o.rows ?? 24)]
  const child: ChildProcess = spawn(pathOf('python3') ?? 'python3', ['-c', PYTHON, ...size, ...command], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { TERM: 'xterm', ...(o.env ?? process.env) },
    ...(o.cwd === undefined ? {} : { cwd: o.cwd }),
  })
  let shown = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    shown += chunk.toString()
  })
  const [first] = (await once(child.stderr ?? child, 'data')) as [Buffer]
  return {
    pid: Number(first.toString()),
    text: () => shown,
    async until(pattern, ms = 15_000) {
      for (const end = performance.now() + ms; !pattern.test(shown); ) {
        if (performance.now() > end) throw new Error(`not shown in ${ms} ms: ${pattern.source}\n${shown}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    type: (text) => void child.stdin?.write(text),
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.stdin?.end()
      await gone
    },
  }
}
