/** Before each file of the lab's tests: they change the NICs of whatever they run on. */
import { existsSync } from 'node:fs'

if (!existsSync('/run/netns/lab')) throw new Error('The lab’s tests run in its VM only: make lab')
