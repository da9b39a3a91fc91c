/** The exit codes of every command: the only place where one has a number. */
export const EXIT = {
  /** Done, or as it should be. */
  good: 0,
  /** Done, and not as wished; or not done. */
  notAsWished: 1,
  /** Bad usage, a bad configuration or an unsafe environment: nothing was tried. */
  usage: 2,
  /** It cannot be told, or cannot be done here. */
  cannotTell: 3,
  /** A signature, a key or another proof does not hold. */
  proofFailed: 4,
} as const

/** What a command ends with. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Codes that two commands had before there was a table, and that scripts rely on. */
export const EARLIER = {
  /** `status`: exposed or offline. `doctor`: something is wrong. */
  bad: 2,
  /** `query`: no reply, as dig has it. */
  noReply: 9,
} as const

/** `status` by the state of a document that is current. */
export const STATUS_EXIT = {
  protected: EXIT.good,
  degraded: EXIT.notAsWished,
  exposed: EARLIER.bad,
  offline: EARLIER.bad,
} as const
