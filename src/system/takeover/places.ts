import { join } from 'node:path'

/**
 * The directory of the journal. It belongs to root and survives a reboot. `pending.json`: a change
 * or an undo is not finished, and the next command or boot undoes it. `enabled.json`: the change is
 * proven and stays. At most one of them exists, and one rename changes one into the other. So after
 * a kill or a power cut at any moment it is known what to do.
 */
export const JOURNAL_DIRECTORY = '/var/lib/enigm-dns-system'
export const PENDING = join(JOURNAL_DIRECTORY, 'pending.json')
export const ENABLED = join(JOURNAL_DIRECTORY, 'enabled.json')
/**
 * Copies of what was at a path before `system enable`, if an undo kept the path because another
 * program had changed it. Below it, each copy has the full path of its original.
 */
export const FORMER = join(JOURNAL_DIRECTORY, 'before')
/** The facts that every user may know. The daemon reads this file. */
export const PUBLIC_STATE = join(JOURNAL_DIRECTORY, 'state.json')

/** Files of root until the next boot: the lock, the history of repairs, the servers from DHCP. */
export const RUNTIME_DIRECTORY = '/run/enigm-dns-system'

/** The last observation of root. The daemon reads this file. */
export const OBSERVED = join(RUNTIME_DIRECTORY, 'observed.json')

/**
 * The file that the unprivileged daemon touches to request a repair, when the system uses another
 * server. Its content is not used: the repair reads only the journal of root.
 */
export const REPAIR_WANTED = '/run/enigm-dns/system-taken-over'
/** Limit of repairs per minute. More would be a fight with another program, so they stop. */
export const REPAIRS_A_MINUTE = 3

/**
 * The address at which the installed service listens, on port 53 (enigm-dns.socket). Every owner
 * accepts it. `enigm-dns run` without an option listens on 127.0.0.53, which systemd-resolved
 * refuses. An owner is the program that decides which DNS server the system uses.
 */
export const DEFAULT_ADDRESS = '127.0.0.55'
