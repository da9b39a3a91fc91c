import { listenUdp } from '../../src/listen/udp.ts'
import { udpSuite } from './udp-suite.ts'

udpSuite((options) => listenUdp(options))
