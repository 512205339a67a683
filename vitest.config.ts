import { defineConfig } from 'vitest/config'

const quick = ['test/{shared,ipam,plugins,cli,packaging,contract,house,launcher}/**/*.test.ts']
const thorough = ['test/{e2e,crash}/**/*.test.ts']

export default defineConfig({
  test: {
    // The quick ones need neither root nor the packaged program; the thorough ones need both and the whole machine.
    projects: [
      { test: { name: 'quick', include: quick, testTimeout: 20_000 } },
      {
        test: {
          name: 'thorough',
          include: thorough,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
