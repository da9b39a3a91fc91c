import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { pathOf } from './tools.ts'

/** A dnsmasq that answers in cleartext, and what it was asked. */
export interface PlainServer {
  readonly address: string
  readonly port: number
  /** Each question, as in `A host.corp.example`. */
  readonly asked: readonly string[]
  stop(): Promise<void>
}

/**
 * Starts dnsmasq on one loopback address with these lines of configuration, and waits until it
 * listens.
 */
export async function startDnsmasq(address: string, port: number, lines: readonly string[]): Promise<PlainServer> {
  const args = ['--keep-in-foreground', '--conf-file=/dev/null', '--no-hosts', '--no-resolv', '--log-queries', '--log-facility=-']
  const settings = [
    'bind-interfaces',
    `listen-address=${address}`,
    `port=${port}`,
    'pid-file=',
    'cache-size=0',
    'user=',
    'group=',
    ...lines,
  ]
  const child = spawn(pathOf('dnsmasq') ?? 'dnsmasq', [...args, ...settings.map((line) => `--${line}`)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  process.on('exit', () => child.kill('SIGKILL'))
  const asked: string[] = []
  let said = ''
  const started = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`dnsmasq ended (${code}): ${said}`)))
    createInterface(child.stderr).on('line', (line) => {
      said += `${line}\n`
      const [, type, name] = /query\[([^\]]+)\] (\S+) from/.exec(line) ?? []
      if (name !== undefined) asked.push(`${type} ${name}`)
      if (/started, version/.test(line)) resolve()
    })
  })
  await started
  return {
    ...{ address, port, asked },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
    },
  }
}
