/**
 * A clause that says why `text` cannot be the address of a source, with the fix. Undefined: it can.
 * Only https is allowed: anybody on the path could change a list or a set of resolvers that comes
 * in cleartext.
 */
export function sourceUrlProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) return 'must be an address as in "https://lists.example/ads.txt"'
  if (url.protocol === 'http:') return 'must begin with https://, because a list that came unencrypted could have been changed on its way'
  if (url.protocol !== 'https:') return `must begin with https://; for a file of this host write "file" instead of "url"`
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or a password; remove them'
  return url.hash === '' ? undefined : 'must not have a part after #; remove it'
}

/** The file name in an address: the last part of its path. The signature names it. */
export function fileNameOf(address: string): string {
  const { pathname } = new URL(address)
  const name = pathname.slice(pathname.lastIndexOf('/') + 1)
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
