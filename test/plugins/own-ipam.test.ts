import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { beforeEach, describe, expect, it } from 'vitest'
import { withOwnIpam } from '../../plugins/own-ipam.ts'
import { requestOf } from '../shared/cni/requests.ts'
import { temporaryDirectory } from '../shared/temporary.ts'

let root: string
beforeEach(() => {
  root = temporaryDirectory()
  for (const folder of ['one', 'two']) mkdirSync(`${root}/${folder}`)
})

/** The ipam.type of a request with this one, whose plugins are in the two folders. */
function typeOf(type: string, under = ''): string | undefined {
  const request = requestOf({ ipam: { type } })
  const pluginPath = ['one', 'two'].map((folder) => (under === '' ? `${root}/${folder}` : `/${folder}`))
  return withOwnIpam({ ...request, pluginPath }, under).config.ipam?.type
}

describe('withOwnIpam()', () => {
  it("takes another IPAM's name for ours when a link of that name leads to ours", () => {
    symlinkSync('.berth/current/berth-ipam', `${root}/two/whereabouts`)
    symlinkSync('berth-ipam', `${root}/one/host-local`)
    expect(['whereabouts', 'host-local'].map((type) => typeOf(type))).toEqual(['berth-ipam', 'berth-ipam'])
  })

  it('leaves it to the other one when that is there, is found first, or nothing is', () => {
    writeFileSync(`${root}/one/whereabouts`, '')
    symlinkSync('berth-ipam', `${root}/two/whereabouts`)
    symlinkSync('/opt/whereabouts/bin', `${root}/one/host-local`)
    expect(['whereabouts', 'host-local', 'static'].map((type) => typeOf(type))).toEqual([
      'whereabouts',
      'host-local',
      'static',
    ])
  })

  it("takes the installer's copy of ours for ours, until somebody has written over it", () => {
    mkdirSync(`${root}/one/.berth/current`, { recursive: true })
    for (const name of ['berth-ipam', 'static']) writeFileSync(`${root}/one/.berth/current/${name}`, 'ours')
    symlinkSync('.berth/current/static', `${root}/one/static`)
    expect(typeOf('static')).toBe('berth-ipam')
    writeFileSync(`${root}/one/static`, "somebody's program")
    expect(typeOf('static')).toBe('static')
  })

  it('does not know a hard link', () => {
    writeFileSync(`${root}/one/berth-ipam`, '')
    linkSync(`${root}/one/berth-ipam`, `${root}/one/static`)
    expect(typeOf('static')).toBe('static')
  })

  it('asks for no other name, and for none of a main plugin', () => {
    for (const name of ['dhcp', 'macvlan']) symlinkSync('berth-ipam', `${root}/one/${name}`)
    expect(['dhcp', 'macvlan', ''].map((type) => typeOf(type))).toEqual(['dhcp', 'macvlan', ''])
  })

  it("looks in the caller's folders", () => {
    symlinkSync('.berth/current/berth-ipam', `${root}/two/whereabouts`)
    expect(typeOf('whereabouts', root)).toBe('berth-ipam')
  })

  it('keeps what was written, which says the dialect', () => {
    symlinkSync('berth-ipam', `${root}/one/host-local`)
    const request = requestOf({ ipam: { type: 'host-local' } })
    const read = withOwnIpam({ ...request, pluginPath: [`${root}/one`] }, '')
    expect(read.raw.ipam).toEqual({ type: 'host-local' })
  })
})
