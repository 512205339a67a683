import { expect, test } from 'vitest'
import { readCommandLine, usage } from '../../agent/options.ts'

test('readCommandLine() has a default for everything', () => {
  expect(readCommandLine([], '/data')).toEqual({
    runDir: '/data',
    dataDir: '/data',
    warm: true,
    calls: true,
    kubeconfig: undefined,
    metricsAddress: undefined,
    sweep: { everySeconds: 60, graceSeconds: 60, netnsDirectories: ['/run/netns', '/var/run/netns'] },
  })
})

test('readCommandLine() reads what is given', () => {
  const args =
    '--data-dir /d --metrics-address :1 --sweep-seconds 5 --sweep-grace-seconds 0 --no-warm-up --no-calls --kubeconfig /k --netns-dir /a --netns-dir /b'
  expect(readCommandLine(args.split(' '), '/data')).toEqual({
    runDir: '/d',
    dataDir: '/d',
    warm: false,
    calls: false,
    kubeconfig: '/k',
    metricsAddress: { text: ':1', port: 1 },
    sweep: { everySeconds: 5, graceSeconds: 0, netnsDirectories: ['/a', '/b'] },
  })
})

test('readCommandLine() takes the usual place for the usual leases only, unless it is told', () => {
  const runDirOf = (...args: string[]) => readCommandLine(args, '/var/lib/cni/berth')?.runDir
  expect([runDirOf(), runDirOf('--data-dir', '/d'), runDirOf('--data-dir', '/d', '--run-dir', '/r')]).toEqual([
    '/run/berth',
    '/d',
    '/r',
  ])
})

test('readCommandLine() turns sweeps off with 0 seconds', () => {
  expect(readCommandLine(['--sweep-seconds', '0'], '/data')?.sweep).toBeUndefined()
})

test.each([
  [['--sweep-seconds', '-1'], /ambiguous|argument/],
  [['--sweep-seconds=1.5'], '--sweep-seconds "1.5" is not a number of seconds up to 86400'],
  [['--sweep-grace-seconds', '90000'], '--sweep-grace-seconds "90000" is not a number of seconds'],
  [['--metrics-address', 'x'], 'Cannot serve metrics at "x"'],
  [['more'], /more/],
])('readCommandLine() refuses %j', (args, why) => {
  expect(() => readCommandLine(args, '/data')).toThrow(why)
})

test('the usage names every option', () => {
  expect(readCommandLine(['--help'], '/data')).toBeUndefined()
  for (const name of [
    'run-dir',
    'data-dir',
    'metrics-address',
    'sweep-seconds',
    'sweep-grace-seconds',
    'netns-dir',
    'no-warm-up',
    'help',
  ]) {
    expect(usage).toContain(`--${name} `)
  }
})
