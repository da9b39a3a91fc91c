import { DIRECTLY } from './contract-rig.ts'
import { linkContract } from './contract-suite.ts'

linkContract(DIRECTLY)
