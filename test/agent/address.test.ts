import { expect, test } from 'vitest'
import { parseMonitorAddress } from '../../agent/address.ts'

test.each([
  ['127.0.0.1:9465', { host: '127.0.0.1', port: 9465 }],
  ['[::1]:9465', { host: '::1', port: 9465 }],
  [':0', { port: 0 }],
  ['/run/berth/metrics', { path: '/run/berth/metrics' }],
])('parseMonitorAddress() reads %s', (text, address) => {
  expect(parseMonitorAddress(text)).toEqual({ text, ...address })
})

test.each([
  '',
  '9465',
  'localhost:9465',
  '::1:9465',
  '[127.0.0.1]:9465',
  '127.0.0.1:',
  ':65536',
  ':-1',
  'run/metrics',
  '[::1]',
  ':9465\n',
])('parseMonitorAddress() refuses %j', (text) => {
  expect(() => parseMonitorAddress(text)).toThrow(
    `Cannot serve metrics at ${JSON.stringify(text)}: not "127.0.0.1:9465"`,
  )
})
