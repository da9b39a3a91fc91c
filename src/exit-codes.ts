/** The exit codes of every command, defined only here. */
export const EXIT = {
  /** Done, or everything is in order. */
  good: 0,
  /** Done with an unwanted result, or not done. */
  notAsWished: 1,
  /** Bad usage, a bad configuration or an unsafe environment: nothing was tried. */
  usage: 2,
  /** The result is unknown, or the command cannot run here. */
  cannotTell: 3,
  /** A signature, a key or another proof is not valid. */
  proofFailed: 4,
} as const

/** The exit code of a command. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Codes that two commands had before this table, and on which scripts rely. */
export const EARLIER = {
  /** `status`: exposed or offline. `doctor`: there is a problem. */
  bad: 2,
  /** `query`: no reply, as in dig. */
  noReply: 9,
} as const

/** Exit code of `status` by the state of a current document. */
export const STATUS_EXIT = {
  protected: EXIT.good,
  degraded: EXIT.notAsWished,
  exposed: EARLIER.bad,
  offline: EARLIER.bad,
} as const
