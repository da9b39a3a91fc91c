// node takeover-and-die.js enable|disable N: does it, and kills itself (SIGKILL) before step N,
// counted from 0. Prints the name of each step that it comes to.

import { writeSync } from 'node:fs'
import { thisTakeoverHost } from '../../../src/commands/takeover-host.ts'
import { disable, enable } from '../../../src/system/takeover/procedure.ts'
import { PROJECT } from './home.ts'

const [what = '', at = ''] = process.argv.slice(2)
let count = 0
const host = {
  ...thisTakeoverHost(),
  program: [process.execPath, `${PROJECT}/dist/main.js`],
  step(name: string) {
    writeSync(1, `${name}\n`)
    if (count++ === Number(at)) process.kill(process.pid, 'SIGKILL')
  },
}
const alive = setInterval(() => {}, 1000)
const result = await (what === 'enable' ? enable(host, { vpnDns: 'leave', parts: [] }) : disable(host, () => 'elsewhere'))
process.stdout.write(`outcome ${result.outcome}\n`)
clearInterval(alive)
