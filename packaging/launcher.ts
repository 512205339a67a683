/**
 * Compiles the launcher, for this machine or across for the other one. It needs a compiler and nothing else: no library, no header.
 *
 * As a script: `launcher.ts arm64` leaves dist/arm64/cni with the launcher under the plugins' names.
 */
import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pluginNames } from '../plugins/names.ts'

const root = join(import.meta.dirname, '..')

/** What Debian calls the compilers that make programs for these, whatever they run on. */
const compilers = { x64: 'x86_64-linux-gnu-gcc', arm64: 'aarch64-linux-gnu-gcc' }
export type LauncherArch = keyof typeof compilers

const flags = [
  ...['-std=gnu11', '-Os', '-Wall', '-Wextra', '-Werror'],
  // No library, and none that the compiler takes for granted: a call of memcpy that it made up would not link.
  ...['-ffreestanding', '-nostdlib', '-static', '-fno-pie', '-no-pie'],
  ...['-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fno-tree-loop-distribute-patterns'],
  // One page with the code, one mapping for it, and no data in the file.
  '-Wl,-z,noexecstack,-z,noseparate-code,-z,norelro,--build-id=none,--fatal-warnings,-s',
]

export const compilerOf = (arch: LauncherArch): string => (arch === process.arch ? 'gcc' : compilers[arch])

/** `defines`: macros of launcher.c that tests change; all of them or none. */
export function compileLauncher(
  output: string,
  arch: LauncherArch,
  defines: Record<string, string | number> = {},
): void {
  const macros = Object.entries(defines).map(([name, value]) => `-D${name}=${value}`)
  const source = join(root, 'launcher', 'launcher.c')
  execFileSync(compilerOf(arch), [...flags, ...macros, '-o', output, source], { stdio: 'inherit' })
}

/** One file under the name of each plugin. */
export function installLauncher(folder: string, arch: LauncherArch): void {
  const [first = '', ...others] = pluginNames.map((name) => join(folder, name))
  compileLauncher(first, arch)
  for (const other of others) linkSync(first, other)
}

export function archOf(text: string): LauncherArch {
  if (text === 'x64' || text === 'arm64') return text
  throw new Error(`Cannot build for "${text}": only x64 and arm64 are known`)
}

if (import.meta.main) {
  const arch = archOf(process.argv[2] ?? process.arch)
  const folder = join(root, 'dist', arch, 'cni')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  installLauncher(folder, arch)
  process.stdout.write(`compiled the launcher for ${arch} into ${folder} (${pluginNames.join(', ')})\n`)
}
