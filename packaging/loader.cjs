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

const program = new Script(textOf('program'), {
  filename: 'berth.js',
  cachedData: new Uint8Array(getRawAsset('cache')),
})
if (program.cachedDataRejected && process.env.BERTH_LOG === 'debug') {
  process.stderr.write('berth: debug: the code cache is not for this Node: the start is slower, nothing else\n')
}
program.runInThisContext()(require, process, loadText)
