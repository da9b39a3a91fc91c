/** The longest pause of a list: 24 h. */
export const LONGEST_PAUSE_MS = 24 * 3_600_000

/** The days of a week as `Date.getDay` counts them. */
export const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const

/** When a list applies, in the local time of this host. A missing part sets no limit. */
export interface ListTimes {
  readonly days?: readonly (typeof DAYS)[number][] | undefined
  /**
   * `HH:MM-HH:MM`. If the end is not after the beginning, the range runs past midnight and counts
   * for the day on which it begins.
   */
  readonly hours?: string | undefined
}

/** Whether a list with these times applies at `wallMs` (wall clock, ms since 1970). */
export function appliesAt({ days, hours }: ListTimes, wallMs: number): boolean {
  const now = new Date(wallMs)
  const minute = 60 * now.getHours() + now.getMinutes()
  const isDay = (day: number) => days === undefined || days.includes(DAYS[(day + 7) % 7]!)
  if (hours === undefined) return isDay(now.getDay())
  const [from, end] = hours.split('-').map(minutesOf) as [number, number]
  if (from < end) return minute >= from && minute < end && isDay(now.getDay())
  return (minute >= from && isDay(now.getDay())) || (minute < end && isDay(now.getDay() - 1))
}

function minutesOf(text: string): number {
  const [hour = '0', minute = '0'] = text.split(':')
  return 60 * Number(hour) + Number(minute)
}
