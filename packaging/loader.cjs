/**
 * What the packaged executable runs first: the program's text with its warm code cache.
 *
 * The cache that Node can make for a single executable knows only what runs while the text is loaded; every function
 * called later is compiled again in each call. This one was taken after real calls (packaging/warm.ts). The texts of the
 * administrator and of the agent are other assets, read only when the program asks for one.
 */
const { Script } = require('node:vm')
const { getRawAsset } = require('node:sea')

const textOf = (asset) => Buffer.from(getRawAsset(asset)).latin1Slice()
const loadText = (name) =>
  new Script(textOf(name), { filename: `berth-${name}.js` }).runInThisContext()(require, process)

// Between padding that puts it where V8 need not copy it; the first byte says how much comes before (packaging/build.ts).
const padded = new Uint8Array(getRawAsset('cache'))
const [before] = padded
const program = new Script(textOf('program'), {
  filename: 'berth.js',
  cachedData: padded.subarray(before, padded.length - 8 + before),
})
if (program.cachedDataRejected && process.env.BERTH_LOG === 'debug') {
  process.stderr.write('berth: debug: the code cache is not for this Node: the start is slower, nothing else\n')
}
program.runInThisContext()(require, process, loadText)
