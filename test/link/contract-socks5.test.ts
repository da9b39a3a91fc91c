import { BY_SOCKS5 } from './contract-rig.ts'
import { linkContract } from './contract-suite.ts'

linkContract(BY_SOCKS5)
