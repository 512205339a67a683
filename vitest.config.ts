import { defineConfig } from 'vitest/config'

const quick = ['test/{agent,shared,ipam,vf,plugins,cli,install,packaging,contract,house,lab,launcher}/**/*.test.ts']
const thorough = ['test/{e2e,crash}/**/*.test.ts']
const kubernetes = ['test/kubernetes/**/*.test.ts']
/** What a caller can tell of a call, and nothing of its process: it must not know which door it came through. */
const bothDoors = [
  'bad-input',
  'check',
  'cnitool',
  'dialects',
  'host-access*',
  'ipam',
  'ipvlan',
  'layer3',
  'macvlan',
  'nad',
  'openstack',
  'order',
  'protocol*',
  'routes',
  'source-routing',
  'vlan',
]

const onTheKernel = { testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false }

export default defineConfig({
  test: {
    // The quick ones need neither root nor the packaged program; the others need both and the whole machine.
    projects: [
      { test: { name: 'quick', include: quick, testTimeout: 20_000 } },
      // Only in the VM that `make lab` starts, where a process costs much: one for all files.
      {
        test: {
          name: 'lab',
          include: ['test/lab/**/*.lab.ts'],
          setupFiles: 'test/lab/setup.ts',
          isolate: false,
          ...onTheKernel,
        },
      },
      { test: { name: 'thorough', include: thorough, ...onTheKernel } },
      // An API server on a busy machine takes its time.
      { test: { name: 'kubernetes', include: kubernetes, ...onTheKernel, testTimeout: 300_000, hookTimeout: 300_000 } },
      {
        test: {
          name: 'agent',
          include: bothDoors.map((name) => `test/e2e/${name}.test.ts`),
          env: { BERTH_TEST_DOOR: 'agent' },
          ...onTheKernel,
        },
      },
    ],
  },
})
