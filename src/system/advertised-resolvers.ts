import { readdirSync } from 'node:fs'
import { textOf } from '../files/reading.ts'

/** An encrypted resolver that the network advertises (DNR, RFC 9463). It is never used. */
export interface AdvertisedResolver {
  /** Its name, according to the network. */
  readonly name: string
  readonly addresses: readonly string[]
  /** The file in which it was found. */
  readonly by: string
}

const DIRECTORIES = ['/run/systemd/netif/links', '/run/systemd/netif/leases'] as const
const MOST_FILES = 32
const MOST = 16

/**
 * Reads the encrypted resolvers that the network advertises. systemd-networkd writes them to a file
 * for each link. Nothing is sent. Never throws.
 */
export function advertisedResolvers(root = ''): readonly AdvertisedResolver[] {
  const found = new Map<string, AdvertisedResolver>()
  for (const directory of DIRECTORIES)
    for (const file of namesIn(`${root}${directory}`))
      for (const one of advertisedIn(textOf(`${root}${directory}/${file}`) ?? '', `${directory}/${file}`)) {
        if (found.size < MOST && !found.has(one.name)) found.set(one.name, one)
      }
  return [...found.values()]
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).slice(0, MOST_FILES)
  } catch {
    return []
  }
}

/** `DNR=` and `DNS=` hold servers as ADDRESS[:PORT]#NAME, separated by spaces. */
function advertisedIn(text: string, by: string): readonly AdvertisedResolver[] {
  const servers = text.split('\n').flatMap((line) => /^(?:DNR|DNS)=(.*)$/.exec(line)?.[1]?.split(/\s+/) ?? [])
  return servers.flatMap((server) => {
    const [, address = '', name = ''] = /^([0-9a-fA-F.:[\]%a-z]*)#([A-Za-z0-9._-]{1,253})$/.exec(server) ?? []
    return name === '' ? [] : [{ name: name.toLowerCase(), addresses: address === '' ? [] : [address.slice(0, 60)], by }]
  })
}
