import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './server-process.ts'
import { pathOf } from './tools.ts'

/** A Tor network on loopback: three authorities, which are relays too, three more relays, a client. */
export interface TorNet {
  readonly socksPort: number
  /** The name of an onion service that leads to the port given at the start. */
  readonly onion: string
  /** The reply of the client's control port to one command. */
  control(command: string): Promise<string>
  /** Streams of the client: each with the target that it leads to and the circuit that carries it. */
  streams(): Promise<readonly TorStream[]>
  stop(): void
}

export interface TorStream {
  readonly circuit: string
  readonly target: string
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Lines for every process of a network for tests (tor(1), TestingTorNetwork). */
const common = (dir: string) => `
TestingTorNetwork 1
AssumeReachable 1
ShutdownWaitLength 0
PathsNeededToBuildCircuits 0.25
TestingDirAuthVoteExit *
TestingDirAuthVoteHSDir *
TestingDirAuthVoteGuard *
TestingMinExitFlagThreshold 0
TestingAuthDirTimeToLearnReachability 0
V3AuthNIntervalsValid 2
Address 127.0.0.1
DataDirectory ${dir}
Log notice file ${dir}/log
EnforceDistinctSubnets 0
`
const EXIT_RELAY = `
ExitRelay 1
ExitPolicyRejectPrivate 0
ExitPolicyRejectLocalInterfaces 0
ExitPolicy accept *:*
`
const AUTHORITY = `
SocksPort 0
AuthoritativeDirectory 1
V3AuthoritativeDirectory 1
ContactInfo a@b.test
AuthDirMaxServersPerAddr 0
V3AuthVotingInterval 20
V3AuthVoteDelay 4
V3AuthDistDelay 4
TestingV3AuthInitialVotingInterval 5
TestingV3AuthInitialVoteDelay 2
TestingV3AuthInitialDistDelay 2
`

/**
 * Starts the network and waits until its client has built circuits, about a minute.
 * `hiddenPort`: where the onion service leads, at port 853.
 */
export async function startTorNet(hiddenPort: number): Promise<TorNet> {
  const dir = mkdtempSync(join(tmpdir(), 'enigm-dns-tor-'))
  const authorities = await Promise.all(['a1', 'a2', 'a3'].map((name) => authorityIn(join(dir, name), name)))
  const directory = authorities.map(({ line }) => line).join('\n')
  const begin = (name: string, lines: string) => {
    const home = join(dir, name)
    mkdirSync(home, { recursive: true, mode: 0o700 })
    const file = join(home, 'torrc')
    writeFileSync(file, `${common(home)}${directory}\n${lines}`)
    const child = spawn(pathOf('tor') ?? 'tor', ['-f', file, '--quiet'], { stdio: 'ignore' })
    running.add(child)
    child.on('exit', () => running.delete(child))
    return child
  }
  const children = authorities.map(({ name, ports }) => begin(name, `${ports}${AUTHORITY}${EXIT_RELAY}`))
  for (const name of ['relay1', 'relay2', 'relay3'])
    children.push(
      begin(name, `Nickname ${name}\nORPort 127.0.0.1:${await freePort()}\nSocksPort 0\nServerDNSDetectHijacking 0\n${EXIT_RELAY}`),
    )
  const [socksPort, controlPort] = [await freePort(), await freePort()]
  children.push(
    begin(
      'client',
      `SocksPort 127.0.0.1:${socksPort} IsolateSOCKSAuth
ControlPort 127.0.0.1:${controlPort}
ClientRejectInternalAddresses 0
HiddenServiceDir ${join(dir, 'client', 'hidden')}
HiddenServicePort 853 127.0.0.1:${hiddenPort}
`,
    ),
  )
  const stop = () => {
    for (const child of children) child.kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  }
  const control = (command: string) => ask(controlPort, command)
  for (let waited = 0; !(await control('GETINFO status/bootstrap-phase').catch(() => '')).includes('PROGRESS=100'); waited += 500) {
    if (waited > 240_000) {
      stop()
      throw new Error('the private Tor network did not come up')
    }
    await sleep(500)
  }
  return {
    socksPort,
    onion: readFileSync(join(dir, 'client', 'hidden', 'hostname'), 'utf8').trim(),
    control,
    async streams() {
      const reply = await control('GETINFO stream-status')
      return [...reply.matchAll(/(?:=|\n)\d+ SUCCEEDED (\d+) (\S+)/g)].map(([, circuit = '', target = '']) => ({ circuit, target }))
    },
    stop,
  }
}

/** Keys and fingerprints of a directory authority, and the line by which others know it. */
async function authorityIn(home: string, name: string) {
  mkdirSync(join(home, 'keys'), { recursive: true, mode: 0o700 })
  const keys = join(home, 'keys')
  const [orPort, dirPort] = [await freePort(), await freePort()]
  execFileSync('tor-gencert', ['--create-identity-key', '-m', '12', '-a', `127.0.0.1:${dirPort}`, '--passphrase-fd', '0'], {
    cwd: keys,
    input: 'pass\n',
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const file = join(home, 'fingerprint.rc')
  const other = 'DirAuthority x orport=1 no-v2 127.0.0.1:1 0000000000000000000000000000000000000000'
  writeFileSync(
    file,
    `ORPort 127.0.0.1:${orPort}\nNickname ${name}\nDataDirectory ${home}\nAddress 127.0.0.1\nTestingTorNetwork 1\n${other}\n`,
  )
  const listed = execFileSync(pathOf('tor') ?? 'tor', ['-f', file, '--list-fingerprint', '--quiet'], { encoding: 'utf8' })
  const fingerprint = listed.trim().split('\n').at(-1)?.split(' ').slice(1).join('') ?? ''
  const v3 = /^fingerprint (\S+)/m.exec(readFileSync(join(keys, 'authority_certificate'), 'utf8'))?.[1] ?? ''
  return {
    name,
    ports: `Nickname ${name}\nORPort 127.0.0.1:${orPort}\nDirPort 127.0.0.1:${dirPort}\n`,
    line: `DirAuthority ${name} orport=${orPort} no-v2 v3ident=${v3} 127.0.0.1:${dirPort} ${fingerprint}`,
  }
}

/** One command of the control protocol (control-spec), on a connection of its own. */
function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let said = ''
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    socket.on('close', () => resolve(said.replaceAll('\r', '')))
    socket.write(`AUTHENTICATE\r\n${command}\r\nQUIT\r\n`)
  })
}
