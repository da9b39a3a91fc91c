/**
 * Why `text` cannot be the address of a source, as a clause with its fix that follows the key;
 * undefined: it can. Only https: a list or a set of resolvers that came in cleartext could have
 * been written by anybody on the path.
 */
export function sourceUrlProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) return 'must be an address as in "https://lists.example/ads.txt"'
  if (url.protocol === 'http:') return 'must begin with https://, because a list that came unencrypted could have been changed on its way'
  if (url.protocol !== 'https:') return `must begin with https://; for a file of this host write "file" instead of "url"`
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or a password; remove them'
  return url.hash === '' ? undefined : 'must not have a part after #; remove it'
}

/** The last part of the path of an address: the name under which its file was signed. */
export function fileNameOf(address: string): string {
  const { pathname } = new URL(address)
  const name = pathname.slice(pathname.lastIndexOf('/') + 1)
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
