import { NOTHING_TO_FIX, type ReasonRow, row } from './host-reasons.ts'

/** Makes a row about lists, each with the fault of its source. */
const lists = (doc: string, what: string, mend: string) =>
  row<readonly { readonly id: string; readonly why: string }[]>({
    severity: 'warn',
    doc,
    message: (faults) => faults.map(({ id, why }) => `The list ${id} ${what}: ${why}.`).join(' '),
    mend,
  })

/** At most eight ids of a list. */
function someOf(ids: readonly string[]): string {
  return `${ids.slice(0, 8).join(', ')}${ids.length > 8 ? ' and others' : ''}`
}

/**
 * Reasons about this service, its configuration, and its lists of names and of resolvers: a part of
 * REASONS.
 */
export const SERVICE_REASONS = {
  starting: row({ severity: 'info', doc: 'The service is starting.', message: 'The service is starting.', mend: 'Wait a moment.' }),
  stopping: row({
    severity: 'bad',
    doc: 'The service is stopping.',
    message: 'The service is stopping.',
    mend: 'Start it: enigm-dns run',
  }),
  stopped: row({ severity: 'bad', doc: 'The service was stopped.', message: 'The service was stopped.', mend: 'Start it: enigm-dns run' }),
  'audit-gap': row<{ state: 'writing' | 'unwritable'; lost: number }>({
    severity: ({ state }) => (state === 'unwritable' ? 'warn' : 'info'),
    doc: 'The audit log cannot be written, or could not be written earlier, or entries were removed: events are missing in it.',
    message: ({ state, lost }) =>
      state === 'unwritable'
        ? `The audit log cannot be written; events missing in it: ${lost}.`
        : `Events missing in the audit log since the start: ${lost}; the gap is noted in it.`,
    mend: ({ state }) =>
      state === 'unwritable'
        ? 'Make stateDir writable again (space, mode). The service retries at each heartbeat.'
        : 'These events are lost. See the system log for that time.',
  }),
  'status-unsigned': row<{ why: string }>({
    severity: 'info',
    doc: 'The status file is not signed.',
    message: ({ why }) => `The status file is not signed: ${why}.`,
    mend: 'Give the service its own stateDir (0700) that it can write: with space, on a file system that is not read-only. Delete a damaged key, and distribute the new public key.',
  }),
  restarted: row<{ count: number }>({
    severity: 'info',
    doc: 'The run before this one crashed or was killed.',
    message: ({ count }) =>
      `The run before this one crashed or was killed. Earlier starts of the service since the machine booted: ${count}.`,
    mend: 'See the system log for the cause (crash, memory, SIGKILL).',
  }),
  'list-changes': row<{ list: string; ids: readonly string[]; applied: readonly string[] }>({
    severity: 'info',
    doc: 'A signed list of resolvers would change resolvers in use, and the change waits for a person; or the change is in force ("updates": "apply"), and the set does not have it.',
    message: ({ list, ids, applied }) =>
      [
        ...(ids.length === 0 ? [] : [`The list ${list} would change ${someOf(ids)}; the old values stay in force.`]),
        ...(applied.length === 0 ? [] : [`The list ${list} has changed ${someOf(applied)}; the new values are in force.`]),
      ].join(' '),
    mend: 'See the changes with enigm-dns resolvers update. enigm-dns resolvers accept writes them into the set. A withdrawn resolver that "use" names stays in use until you remove it there.',
  }),
  'list-refused': row<{ list: string; why: string }>({
    severity: 'info',
    doc: 'A signed list of resolvers could not be fetched, or was refused. The last good one stays in force.',
    message: ({ list, why }) => `The list ${list} ${why}. The last good one stays in force.`,
    mend: 'Run enigm-dns resolvers update. If the signature is wrong, somebody may have changed the list.',
  }),
  'query-trace': row<{ untilWallMs: number }>({
    severity: 'warn',
    doc: 'A user with the rights of this service sees every query, for a limited time.',
    message: ({ untilWallMs }) =>
      `A user with the rights of this service sees every query, until ${new Date(untilWallMs).toISOString()} at most.`,
    mend: 'It ends when the time is over or when the command ends (enigm-dns trace). A reload ends it at once.',
  }),
  'zone-loop': row<readonly string[]>({
    severity: 'warn',
    doc: 'The server of a forward zone sends its queries back to this service. Names of the zone fail.',
    message: (zones) => `The server of ${zones.join(', ')} sends its queries back to this service; names of the zone fail.`,
    mend: 'Name the server that knows the zone in forward, or change where that server sends its queries. It is tested again every minute.',
  }),
  'reload-refused': row<{ message: string }>({
    severity: 'warn',
    doc: 'A reload was refused; the previous configuration stays in force.',
    message: ({ message }) => `A reload was refused; the previous configuration stays in force: ${message}`,
    mend: 'Correct the file (enigm-dns check). The service tries again by itself.',
  }),
  'restart-needed': row<readonly string[]>({
    severity: 'warn',
    doc: 'Some changed settings take effect at the next start only.',
    message: (settings) => `These settings take effect at the next start: ${settings.join(', ')}.`,
    mend: 'Restart the service (enigm-dns stop, then enigm-dns run), or undo the change.',
  }),
  'list-missing': lists(
    'A list of the configuration is not in force: its names are not blocked, or not allowed.',
    'is not in force',
    'Correct the source (enigm-dns check). The service tries again by itself.',
  ),
  'list-outdated': lists(
    'The latest content of a list is not used; its earlier rules stay in force.',
    'still has its earlier rules',
    'Correct the source (enigm-dns check). The service tries again by itself.',
  ),
  'internal-fault': row<{ where: string }>({
    severity: 'warn',
    doc: 'An internal fault was caught in the last ten minutes.',
    message: ({ where }) => `An internal fault was caught in ${where}.`,
    mend: 'See the log, and report it.',
  }),
  'was-asleep': row<{ lateMs: number }>({
    severity: 'info',
    doc: 'The process was stopped or the machine slept before this heartbeat.',
    message: ({ lateMs }) =>
      `The process was stopped, or the machine slept, for about ${Math.round(lateMs / 1000)} s before this heartbeat.`,
    mend: NOTHING_TO_FIX,
  }),
  'event-loop-late': row<{ lateMs: number }>({
    severity: 'warn',
    doc: 'The event loop was busy: the heartbeat came late.',
    message: ({ lateMs }) => `The event loop was busy: the heartbeat came ${Math.round(lateMs)} ms late.`,
    mend: 'Give the service more CPU. Report this if the machine was idle.',
  }),
} as const satisfies Readonly<Record<string, ReasonRow<never>>>
