// What Node itself takes: a program that does nothing but write a record the size of a cell every
// EVERY_MS, read what comes, and drop it: the floor under a profile's cost. Started by shaping/main
// as `node bare-exchange.js PORT EVERY_MS CA_FILE NAME`; runs until it is killed.
import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import { withPaddedOpt } from '../../src/dns/edns.ts'
import { framed } from '../../src/dns/framing.ts'
import { query } from '../../test/support/messages.ts'

const [port = '', every = '', caFile = '', servername = ''] = process.argv.slice(2)
const cell = framed(withPaddedOpt(query({ name: 'bare.example' }), { dnssecOk: false, block: 128, keepalive: false }))
const socket = connect({ host: '127.0.0.1', port: Number(port), servername, ca: readFileSync(caFile) }, () => {
  socket.setNoDelay(true)
  let dueMs = performance.now()
  const slot = () => {
    socket.write(cell)
    dueMs += Number(every)
    setTimeout(slot, Math.max(1, Math.ceil(dueMs - performance.now())))
  }
  slot()
})
socket.on('data', () => {})
