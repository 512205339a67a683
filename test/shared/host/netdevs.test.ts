import { expect, it } from 'vitest'
import {
  addAlternativeNames,
  changeNetdev,
  dropAlternativeNames,
  findNetdev,
  findNetdevOf,
  moveNetdev,
} from '../../../shared/host/netdevs.ts'
import { cable, describeInNamespaces, ip, newNamespace, opened } from './namespaces.ts'

describeInNamespaces('moveNetdev()', () => {
  it('takes an interface to another namespace with its name, index, MTU and flags in one message', async () => {
    const { here, near } = cable()
    const [from, to] = [opened(here), opened(newNamespace())]
    const change = { name: 'net1', mtuBytes: 1400, up: true, allMulticast: true }
    await moveNetdev({ from, index: near.index, to, newIndex: 5_000_000 }, change)
    expect(await findNetdev(from, { index: near.index })).toBeUndefined()
    expect(await findNetdev(to, { index: 5_000_000 })).toMatchObject({ ...change, mac: near.mac })
  })

  it('fails with EEXIST and stays when another of its names is taken there', async () => {
    const { here, there, near } = cable()
    const [from, to] = [opened(here), opened(there)]
    await addAlternativeNames(from, near.index, ['far'])
    await expect(moveNetdev({ from, index: near.index, to }, {})).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await findNetdev(from, { index: near.index })).toBeDefined()
  })

  it('fails with EEXIST and has moved it under its old name when the new one is taken there', async () => {
    const { here, there, near } = cable()
    const [from, to] = [opened(here), opened(there)]
    await expect(moveNetdev({ from, index: near.index, to }, { name: 'far' })).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await findNetdev(to, { name: 'near' })).toMatchObject({ mac: near.mac })
  })

  it('has moved it already when it fails with a value that its driver refuses', async () => {
    const { here, near } = cable()
    const [from, to] = [opened(here), opened(newNamespace())]
    const move = moveNetdev({ from, index: near.index, to }, { name: 'net1', mtuBytes: 20 })
    await expect(move).rejects.toMatchObject({ code: 'EINVAL' })
    expect(await findNetdev(from, { index: near.index })).toBeUndefined()
    expect(await findNetdev(to, { name: 'near' })).toMatchObject({ mac: near.mac })
  })
})

describeInNamespaces('findNetdev()', () => {
  it('finds by name, by alternative name however long, and by index', async () => {
    const { here, near } = cable()
    const netns = opened(here)
    const long = 'a-name-that-is-longer-than-fifteen-characters'
    await addAlternativeNames(netns, near.index, ['other', long])
    for (const name of ['near', 'other', long]) {
      expect(await findNetdev(netns, { name })).toMatchObject({ index: near.index, alternativeNames: ['other', long] })
    }
    await dropAlternativeNames(netns, near.index, ['other', long])
    expect(await findNetdev(netns, { name: long })).toBeUndefined()
    expect(await findNetdev(netns, { index: near.index })).toMatchObject({ alternativeNames: [], device: undefined })
  })

  it('reads an interface to which its pod has given more names than an ordinary answer holds', async () => {
    const { here, near } = cable()
    const netns = opened(here)
    const names = Array.from({ length: 400 }, (_, number) => `${String(number).padStart(4, '0')}${'x'.repeat(120)}`)
    for (let first = 0; first < names.length; first += 100) {
      await addAlternativeNames(netns, near.index, names.slice(first, first + 100))
    }
    expect((await findNetdev(netns, { index: near.index }))?.alternativeNames).toEqual(names)
  })

  it('finds none of a device that the namespace has no interface of', async () => {
    const { here } = cable()
    expect(await findNetdevOf(opened(here), '0000:03:02.1')).toBeUndefined()
  })
})

describeInNamespaces('changeNetdev()', () => {
  it('changes what is given and leaves the rest', async () => {
    const { here, near } = cable()
    const netns = opened(here)
    await changeNetdev(netns, near.index, { mac: '02:00:00:00:00:77' })
    expect(await findNetdev(netns, { index: near.index })).toMatchObject({ mac: '02:00:00:00:00:77', up: true })
    expect(ip('-n', here, 'link', 'show', 'near')).toContain(',UP')
    await expect(changeNetdev(netns, 4711, { up: true })).rejects.toMatchObject({ code: 'ENODEV' })
  })
})
