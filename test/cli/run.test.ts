import { describe, expect, it } from 'vitest'
import { printable, table } from '../../cli/table.ts'
import { berth } from './berth.ts'

describe('run()', () => {
  it.each([
    [[], 'no command given'],
    [['leases'], 'unknown command "leases"'],
    [['frob', 'nicate'], 'unknown command "frob nicate"'],
    [['leases', 'list', '--colour'], '--colour'],
    [['leases', 'list', 'more'], 'unexpected "more"'],
    [['leases', 'list', '--json=1'], '--json'],
    [['leases', 'show'], 'no address and no attachment given'],
    [['leases', 'show', 'x'], '"x" is neither an address'],
    [['leases', 'show', 'a,b/c/d'], 'is neither an address'],
    [['leases', 'show', '../a/b'], 'is neither an address'],
    [['leases', 'release', 'shop/web-0'], 'is a pod'],
    [['leases', 'release', '10.0.0.1', '--yes'], '--yes goes with --imported'],
    [['leases', 'release', '--imported'], '--network is missing'],
    [['leases', 'sweep', '--grace', '-1'], '--grace'],
    [['leases', 'sweep', '--grace', 'soon'], '--grace "soon" is not a number of seconds'],
    [['import', 'host-local', '--network', 'a'], 'no folder given'],
    [['import', 'host-local', '/tmp', '--range', '10.0.0.0/24'], '--network is missing'],
    [['import', 'host-local', '/tmp', '--network', 'a'], '--range is missing'],
    [['import', 'host-local', '/tmp', '--network', 'a', '--range', '10.0.0.0'], 'is not a subnet'],
    [['import', 'whereabouts'], '--network is missing'],
  ])('answers 2 and the usage when the line is %j', async (line, message) => {
    const { stdout, stderr, exitCode } = await berth(line)
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 2 })
    expect(stderr.split('\n')[0]).toContain(message)
    expect(stderr).toContain('Usage: berth ')
  })

  it('prints the usage of the whole, and of a command, when asked for help', async () => {
    for (const line of [['--help'], ['help'], ['leases', '-h']]) {
      expect(await berth(line)).toMatchObject({
        exitCode: 0,
        stderr: '',
        stdout: expect.stringContaining('leases list '),
      })
    }
    for (const words of ['leases list', 'leases show', 'leases release', 'leases check', 'leases sweep']) {
      const { stdout } = await berth([...words.split(' '), '--help'])
      expect(stdout).toMatch(new RegExp(`^Usage: berth ${words} .*\\n\\n[\\s\\S]*--data-dir DIR[\\s\\S]*--help`))
    }
    expect((await berth(['import', 'whereabouts', '--help'])).stdout).toContain('--pool NAME')
  })

  it('prints the version', async () => {
    expect(await berth(['version'])).toEqual({ stdout: '1.2.3\n', stderr: '', exitCode: 0 })
  })

  it('fails when the named data directory is not there: it must not look like one without leases', async () => {
    const answer = await berth(['leases', 'list', '--data-dir', '/nowhere/at all'])
    expect(answer).toEqual({
      stdout: '',
      stderr: 'berth: Cannot read "/nowhere/at all": no such directory\n',
      exitCode: 1,
    })
  })
})

describe('table()', () => {
  it('neutralises what a terminal obeys when a value has it', () => {
    expect(printable('a\nb\u001b[31mc\u009bd\u202ee\u2028f\u007f')).toBe('a?b?[31mc?d?e?f?')
    expect(
      table(
        ['A', 'B'],
        [
          ['1\n2', 'x'],
          ['3', ''],
        ],
      ),
    ).toBe('A    B\n1?2  x\n3\n')
  })
})
