import { FileStore } from '../../ipam/ledger/file-store.ts'
import { temporaryDirectory } from '../shared/temporary.ts'
import { storeContract } from './store.ts'

storeContract('FileStore', () => new FileStore(`${temporaryDirectory()}/state/berth`))
