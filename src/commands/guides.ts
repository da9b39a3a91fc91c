import { Command } from 'commander'
import { EXIT } from '../exit-codes.ts'
import { SERVICE_UNIT } from '../system/units.ts'
import { type HostService, hostService, type ServiceManager, START_UNITS, STOP_UNITS } from './host-service.ts'
import { nameOf, thisHost } from './running-service.ts'

/** Words that people try as commands. Each one only prints the right command for this host. */
export type Guide = 'start' | 'restart' | 'logs'

/** The commands to run for a word, as lines. */
export function guideOf(word: Guide, { running, installed, managed, supervisor }: HostService): string {
  if (word === 'logs') {
    if (supervisor !== undefined) return supervisor.logs
    // A service that a person started logs to that terminal, although the units are installed.
    if (managed || (installed && running === undefined)) return `sudo journalctl -u ${SERVICE_UNIT} -e      what it logged; -f follows it`
    return 'The service writes its log to standard error of the process that started it. To run it as a service: sudo enigm-dns service install'
  }
  if (word === 'restart') {
    if (managed) return `sudo systemctl restart ${SERVICE_UNIT}\nFor a new configuration: sudo enigm-dns reload`
    if (supervisor !== undefined) return `${supervisor.restart}\nFor a new configuration: sudo enigm-dns reload`
    if (running !== undefined)
      return `enigm-dns stop                  ends ${nameOf(running)}; then start it as before\nFor a new configuration: enigm-dns reload`
  }
  if (running !== undefined) return `It already runs: ${nameOf(running)}. To make the system use it: sudo enigm-dns system enable`
  if (installed) return `${START_UNITS}\nsudo enigm-dns system enable    starts it, now and at boot, and makes the system use it`
  return 'sudo enigm-dns service install  as a service; then: sudo enigm-dns system enable\nenigm-dns run                   in the foreground'
}

/** `enigm-dns start`, `restart` and `logs`. Exit code 2, as for an unknown command. */
export function guideCommand(word: Guide): Command {
  return new Command(word).description('show the command that does this').action(() => {
    process.stderr.write(`enigm-dns has no command "${word}". Use this instead:\n\n${guideOf(word, hostService(thisHost()))}\n`)
    process.exitCode = EXIT.usage
  })
}

/**
 * Why `stop` is not enough for a service that a service manager runs, with the right command;
 * undefined: `stop` is enough.
 */
export function stopGuide({ managed, supervisor }: Pick<ServiceManager, 'managed' | 'supervisor'>): string | undefined {
  if (supervisor !== undefined)
    return `${supervisor.name} runs the service and may start it again. First: sudo enigm-dns system disable. Then: ${supervisor.stop}`
  if (!managed) return undefined
  return `systemd runs the service, and its socket starts it again at the next query. First: sudo enigm-dns system disable. Then: ${STOP_UNITS}`
}
