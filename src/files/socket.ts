import { accessSync, constants, existsSync, lstatSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'
import { systemCode } from '../errors.ts'
import { type Owners, owners, writingFaults } from './trust.ts'
import { directoryFault, remove } from './writing.ts'

/** Limit of a socket path: sun_path (unix(7); at least 104 octets) without its final zero. */
const MAX_PATH_OCTETS = 103

/**
 * Makes `server` listen on a Unix socket to which only our user and root may connect. A socket that
 * a killed process of ours left is replaced; any other object at the path stays. Resolves to
 * undefined if it succeeds, to `taken` if another process answers there, or to a clause that says
 * why it failed.
 */
export async function listenOnSocket(server: Server, path: string): Promise<undefined | 'taken' | { readonly why: string }> {
  const unsafe = socketFault(path)
  if (unsafe !== undefined) return { why: unsafe }
  const code = await bound(server, path)
  if (code !== 'EADDRINUSE') return code === undefined ? undefined : { why: code }
  const foreign = foreignSocket(path, owners())
  if (foreign !== undefined) return { why: foreign }
  if (await answers(path)) return 'taken'
  // If another process was faster, the second attempt reports it.
  remove(path)
  const again = await bound(server, path)
  return again === undefined ? undefined : { why: again }
}

/** A clause that says why no socket can be made at `path`. Undefined: no reason is known. */
export function socketFault(path: string): string | undefined {
  if (Buffer.byteLength(path) > MAX_PATH_OCTETS) return `its path is longer than ${MAX_PATH_OCTETS} octets`
  try {
    return writingFaults(dirname(path), owners())[0]
  } catch (error) {
    return systemCode(error) ?? 'unknown error'
  }
}

/**
 * A clause that says why the object at a socket path is foreign. Undefined: an earlier run of ours
 * left it, or there is nothing. Throws the system's error.
 */
export function foreignSocket(path: string, allowed: Owners): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return undefined
  // An empty file has no content to lose.
  if (!found.isSocket() && !(found.isFile() && found.size === 0)) return `${path} is there and is not a socket`
  return allowed !== undefined && !allowed.has(found.uid) ? `${path} is a socket of user ${found.uid}` : undefined
}

/**
 * Binds the socket. Resolves to the error's code, or to undefined. The umask protects the socket
 * from the start. A mode that is set later could be applied to an object that replaced the socket.
 */
function bound(server: Server, path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const failed = ({ code = 'unknown error' }: NodeJS.ErrnoException) =>
      resolve(code === 'EACCES' ? (missing(dirname(path)) ?? code) : code)
    const umask = process.umask(0o177)
    server.once('error', failed).listen(path, () => {
      server.off('error', failed)
      resolve(undefined)
    })
    process.umask(umask)
  })
}

/** The code for a directory that does not exist: libuv reports EACCES then. */
function missing(directory: string): string | undefined {
  return existsSync(directory) ? undefined : (directoryFault(directory) ?? 'ENOENT')
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // If it is not certain that the socket is unused, it is not removed.
    socket.once('error', (error) => resolve(systemCode(error) !== 'ECONNREFUSED' && systemCode(error) !== 'ENOENT'))
  })
}

/** Why this user cannot connect to a socket. Undefined: it may. */
export function socketAccess(path: string): 'missing' | 'not ours' | undefined {
  const directory = dirname(path)
  if (existsSync(path)) return may(path, constants.W_OK) ? undefined : 'not ours'
  return !existsSync(directory) || may(directory, constants.X_OK) ? 'missing' : 'not ours'
}

function may(path: string, right: number): boolean {
  try {
    accessSync(path, right)
    return true
  } catch {
    return false
  }
}
