import { describe, expect, it } from 'vitest'
import { parseArgs } from '../../../shared/cni/args.ts'
import { failureOf } from '../failures.ts'

describe('parseArgs()', () => {
  it.each([
    ['nothing', '', {}],
    ['one pair', 'MAC=02:00:00:00:00:01', { MAC: '02:00:00:00:00:01' }],
    ['two pairs', 'IP=10.0.0.7;GATEWAY=10.0.0.1', { IP: '10.0.0.7', GATEWAY: '10.0.0.1' }],
    ['an empty value', 'IP=', { IP: '' }],
    ['a value with "=" in it', 'K8S_POD_NAME=a=b', { K8S_POD_NAME: 'a=b' }],
    ['the last of two values', 'IP=10.0.0.7;IP=10.0.0.8', { IP: '10.0.0.8' }],
    [
      'what Kubernetes runtimes send',
      'IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=u',
      {
        IgnoreUnknown: '1',
        K8S_POD_NAMESPACE: 'ns',
        K8S_POD_NAME: 'pod',
        K8S_POD_INFRA_CONTAINER_ID: 'c',
        K8S_POD_UID: 'u',
      },
    ],
  ])('reads %s', (_, text, args) => {
    expect(parseArgs(text)).toEqual(args)
  })

  it.each([
    ['before it', 'IgnoreUnknown=1;FOO=1;IP=10.0.0.7'],
    ['after it', 'FOO=1;IP=10.0.0.7;IgnoreUnknown=true'],
    ['in capitals', 'FOO=1;IP=10.0.0.7;IgnoreUnknown=TRUE'],
  ])('leaves unknown keys out when IgnoreUnknown says so %s', (_, text) => {
    expect(parseArgs(text)).toEqual(expect.objectContaining({ IP: '10.0.0.7' }))
    expect(parseArgs(text)).not.toHaveProperty('FOO')
  })

  it.each([
    ['FOO=1', '["FOO=1"]'],
    ['FOO=1;IP=10.0.0.7;BAR=2', '["FOO=1","BAR=2"]'],
    ['FOO=1;IgnoreUnknown=0', '["FOO=1"]'],
    ['FOO=1;IgnoreUnknown=False', '["FOO=1"]'],
    ['ip=10.0.0.7', '["ip=10.0.0.7"]'],
    ['__proto__=1', '["__proto__=1"]'],
    ['toString=1', '["toString=1"]'],
  ])('refuses unknown keys, which are case-sensitive, when given %s', (text, quoted) => {
    const { errorName, code, message } = failureOf(() => parseArgs(text))
    expect([errorName, code, message]).toEqual(['ERR_ENVIRONMENT', 4, `CNI_ARGS: unknown args ${quoted}`])
  })

  it.each(['yes', '', 'x', '2'])('refuses an IgnoreUnknown that is no truth value when it is %j', (value) => {
    const { errorName, message } = failureOf(() => parseArgs(`IP=10.0.0.7;IgnoreUnknown=${value}`))
    const why = `IgnoreUnknown is "${value}": must be 1, true, 0 or false`
    expect([errorName, message]).toEqual(['ERR_ENVIRONMENT', `CNI_ARGS: ${why}`])
  })

  it.each([
    ['bad', '"bad"'],
    ['IP=10.0.0.7;', '""'],
    [';IP=10.0.0.7', '""'],
    ['IP=10.0.0.7;;MAC=x', '""'],
    ['=x', '"=x"'],
    ['IgnoreUnknown=1;bad', '"bad"'],
  ])('refuses a broken pair when given %j', (text, quoted) => {
    const { errorName, message } = failureOf(() => parseArgs(text))
    expect([errorName, message]).toEqual(['ERR_ENVIRONMENT', `CNI_ARGS: invalid pair ${quoted}`])
  })
})
