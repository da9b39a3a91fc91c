import { textOf } from '../files/reading.ts'

/** A default route, as /proc/net shows it: texts as they stand there. */
export interface DefaultRoute {
  readonly name: string
  readonly gateway: string
  readonly metric: string
}

/**
 * The default routes of IPv4; undefined where the table cannot be read. Of a long table the beginning is read: the kernel lists them first. `root` is for tests.
 */
export function defaultRoutes4(root = ''): readonly DefaultRoute[] | undefined {
  return linesOf(`${root}/proc/net/route`)?.flatMap((line) => {
    const [name = '', destination, gateway = '', , , , metric = '', mask] = line.split('\t').map((field) => field.trim())
    return destination === '00000000' && mask === '00000000' ? [{ name, gateway, metric }] : []
  })
}

/** The same for IPv6, where they stand within the local ones. The kernel's own unreachable routes are there with `lo`. */
export function defaultRoutes6(root = ''): readonly DefaultRoute[] | undefined {
  return linesOf(`${root}/proc/net/ipv6_route`)?.flatMap((line) => {
    const [destination = '', length, , , gateway = '', metric = '', , , , name = ''] = line.trim().split(/\s+/)
    return length === '00' && /^0+$/.test(destination) && name !== '' && name !== 'lo' ? [{ name, gateway, metric }] : []
  })
}

const linesOf = (path: string) => textOf(path)?.split('\n')
