import { join } from 'node:path'

/**
 * Where the journal lies. It belongs to root and outlives a boot. `pending.json`: a change that is
 * not finished, or an undo; the next command or boot undoes what it says. `enabled.json`: the
 * change is proven, and stays. At most one of them is there, and one rename makes it the other, so
 * a kill or a power cut at any moment leaves a state in which it is known what to do.
 */
export const JOURNAL_DIRECTORY = '/var/lib/enigm-dns-system'
export const PENDING = join(JOURNAL_DIRECTORY, 'pending.json')
export const ENABLED = join(JOURNAL_DIRECTORY, 'enabled.json')
/** What every user may know of it: the daemon reads this. */
export const PUBLIC_STATE = join(JOURNAL_DIRECTORY, 'state.json')

/** Of root, and gone after a boot: the lock, the history of repairs, what DHCP said last. */
export const RUNTIME_DIRECTORY = '/run/enigm-dns-system'

/** What root saw when it was last asked to look, for the daemon to read. */
export const OBSERVED = join(RUNTIME_DIRECTORY, 'observed.json')

/**
 * What the daemon, which has no rights, touches when it sees that the system asks somebody else. It
 * carries nothing: the repair reads the journal of root alone.
 */
export const REPAIR_WANTED = '/run/enigm-dns/system-taken-over'
/** A repair that is wanted more often than this in a minute is a fight, and is given up. */
export const REPAIRS_A_MINUTE = 3
