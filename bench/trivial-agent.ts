/** An agent that does nothing: what launcher and socket cost, without what the plugins do. `trivial-agent.ts SOCKET` */
import { createServer } from 'node:net'

const [path] = process.argv.slice(2)
const hello = Buffer.from('berth\0\x01\0', 'latin1')
const output = Buffer.from(JSON.stringify({ cniVersion: '1.1.0', dns: {}, interfaces: [], ips: [], routes: [] }))
const reply = Buffer.concat([Buffer.alloc(8), output])
reply.writeUInt32LE(output.length)

createServer((call) => {
  let [got, wanted] = [0, 8]
  call.on('error', () => undefined)
  call.write(hello)
  call.on('data', (bytes: Buffer) => {
    // The first piece always has the length: a launcher sends head and input at once.
    if (got === 0) wanted = 8 + bytes.readUInt32LE()
    got += bytes.length
    if (got >= wanted) call.end(reply)
  })
}).listen(path, () => process.stdout.write('ready\n'))
