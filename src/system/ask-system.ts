/**
 * Asks for a name as any program of this system would, by getaddrinfo, and resolves when that has ended, however. It may take as long as the system's own timeouts and
 * holds one thread of libuv's pool meanwhile. Only for names that are answered on this host: whoever calls has made sure of that.
 */
export async function askSystem(name: string): Promise<void> {
  const { lookup } = await import('node:dns')
  return new Promise((resolve) => lookup(name, { all: true }, () => resolve()))
}
