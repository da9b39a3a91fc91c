// What Node itself takes from exec to a first answer over DoT: a program that binds a UDP port,
// connects with one CA, and passes queries and replies on. It has no cache, configuration or checks.
// Started by cases/start-and-idle as `node bare-start.js PORT UPSTREAM_PORT CA_FILE NAME`; runs until
// it is killed.
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'

const [port = '', upstream = '', caFile = '', servername = ''] = process.argv.slice(2)
const udp = createSocket('udp4')
const tls = connect({ host: '127.0.0.1', port: Number(upstream), servername, ca: readFileSync(caFile), ALPNProtocols: ['dot'] })
let client = 0
udp.on('message', (query, { port: from }) => {
  client = from
  tls.write(Buffer.concat([Buffer.of(query.length >> 8, query.length & 255), query]))
})
// One question is asked: its reply fits one record.
tls.on('data', (frame: Buffer) => udp.send(frame.subarray(2), client, '127.0.0.1'))
udp.bind(Number(port), '127.0.0.1')
