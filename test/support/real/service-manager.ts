/**
 * A service manager in a page of Python, as arguments before a command: it binds UDP and TCP (or
 * `u:`, `t:` and one of them, `x:` and a Unix socket) at every place, passes them as systemd does,
 * prints what the service tells it to standard error, and starts it again when it was killed and
 * somebody asks. SIGTERM goes to the service, whose exit code it ends with.
 */
export function underServiceManager(...places: readonly string[]): readonly string[] {
  return ['python3', '-c', MANAGER, ...places, '--']
}

const MANAGER = `
import os, select, signal, socket, sys, tempfile
cut = sys.argv.index('--')
sockets, command = [], sys.argv[cut + 1:]
for place in sys.argv[1:cut]:
    kind, _, rest = place.partition(':') if place[0] in 'utx' else ('', '', place)
    if kind == 'x':
        one = socket.socket(socket.AF_UNIX)
        one.bind(rest)
        one.listen()
        sockets.append(one)
        continue
    address, _, port = rest.rpartition(':')
    family = socket.AF_INET6 if '[' in address else socket.AF_INET
    for want, how in (('u', socket.SOCK_DGRAM), ('t', socket.SOCK_STREAM)):
        if kind not in ('', want): continue
        one = socket.socket(family, how)
        if family == socket.AF_INET6: one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((address.strip('[]'), int(port)))
        if how == socket.SOCK_STREAM: one.listen()
        sockets.append(one)
word = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
path = tempfile.mktemp(prefix='enigm-dns-notify-')
word.bind(path)
def say(text): print(text, file=sys.stderr, flush=True)
def start():
    pid = os.fork()
    if pid: 
        say('child %d' % pid)
        return pid
    high = [os.dup2(one.fileno(), 60 + i, False) for i, one in enumerate(sockets)]
    for i, one in enumerate(high): os.dup2(one, 3 + i, True)
    os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=path, WATCHDOG_USEC='400000')
    os.execvp(command[0], command)
child, ending = start(), False
def end(*_):
    global ending
    ending = True
    os.kill(child, signal.SIGTERM)
signal.signal(signal.SIGTERM, end)
while True:
    readable = select.select([word], [], [], 0.02)[0]
    if readable: say('notify ' + word.recv(4096).decode().replace('\\n', ' '))
    gone, code = os.waitpid(child, os.WNOHANG)
    if gone == 0 or readable: continue
    if ending or not os.WIFSIGNALED(code):
        os.unlink(path)
        waiting = select.select(sockets, [], [], 0)[0]
        say('waiting %d' % len(waiting))
        sys.exit(os.waitstatus_to_exitcode(code) if hasattr(os, 'waitstatus_to_exitcode') else code >> 8)
    select.select(sockets, [], [])
    child = start()
`
