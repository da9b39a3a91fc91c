// node overhear.js LOG: stands at the other end of a machine's link and writes down every name that
// is asked there by multicast (LLMNR, RFC 4795; mDNS, RFC 6762).
import { createSocket } from 'node:dgram'
import { appendFileSync } from 'node:fs'

const [log = ''] = process.argv.slice(2)
for (const [group, port] of [
  ['224.0.0.252', 5355],
  ['224.0.0.251', 5353],
] as const) {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  socket.on('message', (message) => appendFileSync(log, `${port} ${nameOf(message)}\n`))
  socket.bind(port, () => socket.addMembership(group, '192.168.50.1'))
}

/** The name of the first question. */
function nameOf(message: Uint8Array): string {
  const labels: string[] = []
  for (let at = 12; (message[at] ?? 0) !== 0 && at < message.length; at += 1 + (message[at] ?? 0)) {
    labels.push(Buffer.from(message.subarray(at + 1, at + 1 + (message[at] ?? 0))).toString('latin1'))
  }
  return labels.join('.')
}
