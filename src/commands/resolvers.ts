import { Command } from 'commander'
import { systemRandom } from '../clock.ts'
import { thisCommand } from './command-world.ts'
import { addStamp, exportEntry, removeEntry } from './resolvers-change.ts'
import { importList } from './resolvers-import.ts'
import { listEntries } from './resolvers-list.ts'
import { acceptChanges, updateSources } from './resolvers-lists.ts'
import { discoverTransports, pinResolver, rankResolvers } from './resolvers-measure.ts'
import { exitAfter } from './service-orders.ts'
import type { SetWorld } from './set-choice.ts'

const HELP = `
The set is a file that you own: every change is one step, and comments stay. Entries that come from a stamp or a list
are not used before you enable them ("enabled": true in the file, or their id in "use" of the configuration).

Exit codes:
  0  done    1  not done, or only partly; the output says why
  2  a stamp, a list, a set or the configuration is not valid; nothing was changed
  3  cannot be done here
  4  a signature is missing, wrong, of another key, or of an older list, or a resolver (pin) did not prove its identity;
     nothing was changed

Examples:
  $ enigm-dns resolvers list
  $ enigm-dns resolvers add sdns://AgcAAAAAAAAABzkuOS45LjkADWRucy5xdWFkOS5uZXQKL2Rucy1xdWVyeQ --id quad9-doh
  $ enigm-dns resolvers import public-resolvers.md --minisign-key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
  $ enigm-dns resolvers export quad9 --stamp
  $ enigm-dns resolvers rank
  $ enigm-dns resolvers update && enigm-dns resolvers accept
`

/** `enigm-dns resolvers`: shows and changes the trusted set. */
export function resolversCommand(world: SetWorld = thisWorld()): Command {
  const command = new Command('resolvers').description('show and change the trusted set').addHelpText('after', HELP)
  const inner = (usage: string, says: string) =>
    command
      .command(usage)
      .description(says)
      .option('--set <file>', 'the set (default: that of the configuration)')
      .option('-c, --config <file>', 'configuration file (default: that of the running service, else /etc/enigm-dns/config.json)')
      .addHelpText('after', HELP)
  const ended = (work: () => Promise<number>) => exitAfter(world, work)
  inner('list', 'list the entries of the set')
    .option('--json', 'print one JSON document')
    .action((options) => ended(() => listEntries(options, world)))
  inner('add <stamp>', 'add the resolver or relay of a stamp (sdns://...)')
    .option('--id <id>', 'its id in the set (default: its name)')
    .action((stamp: string, options) => ended(() => addStamp(stamp, options, world)))
  inner('remove <id...>', 'remove entries').action((ids: string[], options) => ended(() => removeEntry(ids, options, world)))
  inner('import <file-or-url>', 'add the entries of a list, in a file or at an https address: stamps in Markdown, or a set in JSON')
    .option('--minisign-key <key>', 'the public key that signed the list; the signature is beside it, with .minisig appended')
    .action((place: string, options) => ended(() => importList(place, options, world)))
  inner('rank [id...]', 'measure resolvers: speed, padding, DNSSEC, extended errors; changes nothing')
    .option('--all', 'also those that are not enabled')
    .option('--signed <name>', 'a name with valid signatures', 'iana.org')
    .option('--broken <name>', 'a name with invalid signatures', 'dnssec-failed.org')
    .option('--json', 'print one JSON document')
    .action((ids: string[], options) => ended(() => rankResolvers(ids, options, world)))
  inner('discover [id...]', 'ask trusted resolvers for their other transports (DDR), and verify them; changes nothing')
    .option('--add', 'write what was proven into the set')
    .option('--json', 'print one JSON document')
    .action((ids: string[], options) => ended(() => discoverTransports(ids, options, world)))
  inner('pin <id>', 'pin the current key of a resolver, and look up its addresses if it has none')
    .option('--backup <pin>', 'a second pin, for the next key')
    .action((id: string, options) => ended(() => pinResolver(id, options, world)))
  inner('update', 'fetch the lists of "sources", check their signatures, and show what they would change')
    .option('--json', 'print one JSON document')
    .action((options) => ended(() => updateSources(options, world)))
  inner('accept [id...]', 'apply changes of the lists to the set, and add their new entries; without ids: everything').action(
    (ids: string[], options) => ended(() => acceptChanges(ids, options, world)),
  )
  inner('export <id>', 'print an entry')
    .option('--stamp', 'print its stamps, one a line, one for each transport and address')
    .action((id: string, options) => ended(() => exportEntry(id, options, world)))
  return command
}

function thisWorld(): SetWorld {
  return {
    ...thisCommand(),
    random: systemRandom,
    places: undefined,
  }
}
