import { BY_CONNECT } from './contract-rig.ts'
import { linkContract } from './contract-suite.ts'

linkContract(BY_CONNECT)
