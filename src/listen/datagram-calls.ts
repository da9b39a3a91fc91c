/**
 * The system calls behind a batched UDP listener, as system/ offers them where the platform has them. All are synchronous and touch memory only during the call:
 * nothing is handed to the kernel beyond it.
 */
export interface DatagramCalls {
  /** A bound, non-blocking socket; throws an Error with the system's `code` (EADDRINUSE, EACCES ...). `reusePort` lets several workers share the address. */
  open(address: string, port: number, reusePort: boolean): number
  /** Where `buffer` begins. It must come from Buffer.allocUnsafeSlow and stay referenced as long as the address is used. */
  addressOf(buffer: Buffer): bigint
  /** recvmmsg(2) into `count` mmsghdr at `headers`; how many came, 0 for none. */
  receive(fd: number, headers: Buffer, count: number): number
  /** The socket name (sockaddr_in or sockaddr_in6) of a numeric address without a zone. */
  nameOf(address: string, port: number): Buffer
  /** sendmmsg(2) of `count` mmsghdr at `headers`; how many went before one did not. */
  send(fd: number, headers: Buffer, count: number): number
}
