import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a command said, and its exit code. */
export interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/**
 * A booted Debian with systemd as PID 1, in namespaces of its own: it has no way to any network but
 * the one that is made inside.
 */
export interface Machine {
  /** A shell script, as root. */
  sh(script: string, timeoutMs?: number): Promise<Said>
  /** The same, whose failure rejects; its standard output, trimmed. */
  get(script: string, timeoutMs?: number): Promise<string>
  /** Whether `script` exits 0 within `timeoutMs`; tried again and again. */
  until(what: string, script: string, timeoutMs?: number): Promise<void>
  read(path: string): string
  /**
   * Shuts down and boots again; what was written outside /run and /tmp stays. `cut`: the power
   * goes, nothing is told to anybody.
   */
  reboot(how?: 'orderly' | 'cut'): Promise<void>
  stop(): Promise<void>
}

/** What is put into a machine before it boots. */
export interface Fitting {
  /** Run in the root, before boot: packages taken out or put in, services masked. */
  readonly chroot?: string
  readonly files?: Readonly<Record<string, string>>
  /** Folders and files of this machine that are seen inside, read only: [here, there]. */
  readonly shown?: readonly (readonly [here: string, there: string])[]
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const INSIDE = ['env', '-i', `PATH=${PATH}`, 'HOME=/root', 'LANG=C.UTF-8', 'SYSTEMD_PAGER=']
const DEVICES = 'null zero full random urandom tty'
/** Runs as the first process of the new namespaces and becomes systemd. $1 is the root. */
const INIT = `set -e; R=$1
mount --make-rprivate /
mount -t proc -o nosuid,nodev,noexec proc $R/proc
mount -t sysfs -o nosuid,nodev,noexec,ro sysfs $R/sys
mount -t tmpfs -o mode=755,nosuid,size=4m tmpfs $R/dev
for n in ${DEVICES}; do touch $R/dev/$n; mount --bind /dev/$n $R/dev/$n; done
mkdir $R/dev/pts $R/dev/shm $R/dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts $R/dev/pts
ln -s pts/ptmx $R/dev/ptmx; ln -s /proc/self/fd $R/dev/fd
ln -s fd/0 $R/dev/stdin; ln -s fd/1 $R/dev/stdout; ln -s fd/2 $R/dev/stderr
mount -t tmpfs -o mode=1777 tmpfs $R/dev/shm
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs $R/run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs $R/tmp
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 $R/sys/fs/cgroup
mkdir -p $R/run/host $R/.old
ip link set lo up
hostname lab
cd $R; pivot_root . .old; umount -l /.old; rmdir /.old 2>/dev/null || true
exec env -i container=unshare PATH=${PATH} TERM=dumb /sbin/init systemd.log_target=journal-or-kmsg`

let count = 0

/**
 * Boots `image` with `fitting`, in about a second; nothing is written to the image. Call it where
 * mounts are private (insideNamespace). A machine that nobody stopped dies with this process.
 * Rejects where systemd does not come up.
 */
export async function boot(image: string, fitting: Fitting = {}): Promise<Machine> {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-machine-'))
  const root = join(dir, 'root')
  const cgroup = join(dir, 'cgroup', `enigm-dns-lab-${process.pid}-${count++}`)
  const mount = (...args: string[]) => execFileSync('mount', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  mount('-t', 'tmpfs', '-o', 'size=1g,mode=755', 'tmpfs', dir)
  for (const name of ['upper', 'work', 'root', 'cgroup']) mkdirSync(join(dir, name))
  mount('-t', 'overlay', 'overlay', '-o', `lowerdir=${image},upperdir=${join(dir, 'upper')},workdir=${join(dir, 'work')}`, root)
  mount('-t', 'cgroup2', 'cgroup2', join(dir, 'cgroup'))
  for (const [path, text] of Object.entries(fitting.files ?? {})) put(join(root, path), text)
  if (fitting.chroot !== undefined) execFileSync('chroot', [root, 'bash', '-ec', fitting.chroot], { stdio: ['ignore', 'ignore', 'pipe'] })
  for (const [here, there] of fitting.shown ?? []) show(mount, here, join(root, there))

  let { child, pid } = await start(root, cgroup)
  const sh = (script: string, timeoutMs = 60_000) => inside(pid, script, timeoutMs)
  const end = async (signal: string) => {
    const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
    execFileSync('kill', ['-s', signal, String(pid)])
    await Promise.race([gone, sleep(15_000, undefined, { ref: false })])
    if (gone !== undefined && child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await gone
  }
  return {
    sh,
    async get(script, timeoutMs) {
      const said = await sh(script, timeoutMs)
      if (said.code !== 0) throw new Error(`exit code ${said.code} of ${script}: ${said.stdout}${said.stderr}`)
      return said.stdout.trim()
    },
    async until(what, script, timeoutMs = 20_000) {
      let said: Said | undefined
      for (const endMs = performance.now() + timeoutMs; performance.now() < endMs; await sleep(100)) {
        said = await sh(script)
        if (said.code === 0) return
      }
      throw new Error(`not within ${timeoutMs} ms: ${what}: ${said?.stdout}${said?.stderr}`)
    },
    read: (path) => readFileSync(`/proc/${pid}/root${path}`, 'utf8'),
    async reboot(how = 'orderly') {
      // systemd(1): RTMIN+5 reboots, which ends a namespace.
      await end(how === 'cut' ? 'KILL' : 'RTMIN+5')
      await removeGroups(cgroup)
      ;({ child, pid } = await start(root, cgroup))
    },
    // Nothing is left to be seen, so that nobody waits for an orderly end.
    async stop() {
      await end('KILL')
      await removeGroups(cgroup)
      execFileSync('umount', ['-R', dir])
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  if (text.startsWith('#!')) chmodSync(path, 0o755)
}

function show(mount: (...args: string[]) => unknown, here: string, there: string): void {
  mkdirSync(dirname(there), { recursive: true })
  if (statSync(here).isDirectory()) mkdirSync(there, { recursive: true })
  else writeFileSync(there, '')
  mount('--bind', here, there)
  mount('-o', 'remount,bind,ro', there)
}

async function start(root: string, cgroup: string): Promise<{ child: ChildProcess; pid: number }> {
  mkdirSync(cgroup)
  // A killed test takes the machine with it: setpriv ends unshare, and unshare its child.
  const spaces = ['--pid', '--mount', '--net', '--uts', '--ipc', '--cgroup', '--fork', '--kill-child']
  const script = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"'
  const args = ['--pdeathsig', 'KILL', 'bash', '-c', script, 'bash', cgroup, 'unshare', ...spaces, 'bash', '-c', INIT, 'init', root]
  const child = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-2000)
    })
  for (const endMs = performance.now() + 30_000; performance.now() < endMs; await sleep(20)) {
    if (child.exitCode !== null || child.signalCode !== null) break
    const pid = systemdBelow(child.pid ?? 0)
    if (pid === undefined || !existsSync(`/proc/${pid}/root/run/systemd/private`)) continue
    await inside(pid, 'systemctl is-system-running --wait', 60_000)
    return { child, pid }
  }
  child.kill('SIGKILL')
  throw new Error(`systemd did not come up: ${said}`)
}

/** systemd, once it is that: before, the one child of `pid` still sees the root of this machine. */
function systemdBelow(pid: number): number | undefined {
  try {
    const [found] = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)
    return readFileSync(`/proc/${found}/comm`, 'utf8') === 'systemd\n' ? Number(found) : undefined
  } catch {
    return undefined
  }
}

function inside(pid: number, script: string, timeoutMs: number): Promise<Said> {
  return new Promise((resolve) => {
    const args = ['-t', String(pid), '-a', ...INSIDE, 'bash', '-c', script]
    const child = execFile('nsenter', args, { timeout: timeoutMs, maxBuffer: 1 << 22 }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    )
  })
}

/** The last process of a group may be on its way out still. */
async function removeGroups(cgroup: string): Promise<void> {
  for (let tries = 0; existsSync(cgroup) && tries < 50; tries++, await sleep(20)) {
    execFileSync('find', [cgroup, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';'], { stdio: 'ignore' })
  }
}
