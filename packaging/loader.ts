/**
 * What the packaged executable runs first: main.ts, and how it gets at the texts.
 *
 * The cache that Node can make for a single executable knows only what runs while the text is loaded; every function
 * called later is compiled again in each call. Those of the texts of CNI calls were taken after real calls
 * (packaging/warm.ts). The other texts have none: nobody waits for them.
 */
import { getRawAsset } from 'node:sea'
import { Script } from 'node:vm'
import { type LoadText, main } from '../main.ts'
import { cacheAlignBytes, cacheOf, warmTexts } from './texts.ts'

/** The cache of a text, between padding that puts it where V8 need not copy it; the first byte says how much comes before (packaging/build.ts). */
function cachedDataOf(name: string): Uint8Array | undefined {
  if (!(name in warmTexts)) return undefined
  const padded = new Uint8Array(getRawAsset(cacheOf(name)))
  const [before = 0] = padded
  return padded.subarray(before, padded.length - cacheAlignBytes + before)
}

const loadText: LoadText = (name) => {
  const text = Buffer.from(getRawAsset(name)).toString('latin1')
  const script = new Script(text, { filename: `berth-${name}.js`, cachedData: cachedDataOf(name) })
  if (script.cachedDataRejected && process.env.BERTH_LOG === 'debug') {
    process.stderr.write('berth: debug: the code cache is not for this Node: the start is slower, nothing else\n')
  }
  return script.runInThisContext()(require, process)
}

main(loadText)
