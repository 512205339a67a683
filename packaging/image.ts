/**
 * Lays out the root file system of the container image in dist/image, which install/Dockerfile copies as it is: the packaged program, the
 * launcher under the plugins' names, and the libraries of the machine that built them, with their loader. Nothing else is in it, no shell.
 *
 * The same files give the same image: every time in it is SOURCE_DATE_EPOCH's (seconds; 0 unless the environment says otherwise).
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { readFileSet } from '../install/file-set.ts'
import { librariesName, programName, sumsName, sumsOf } from '../install/layout.ts'

const root = join(import.meta.dirname, '..')
const home = '/opt/berth'
/** What the launcher executes (launcher/launcher.c). */
const loaderName = 'ld.so'

/** Debian's packages of what is copied, whose licences go with it. */
const libraryPackages = ['libc6', 'libatomic1', 'libstdc++6', 'libgcc-s1']

interface Libraries {
  /** The path in the program that the kernel looks for. */
  readonly loader: string
  readonly others: readonly string[]
}

function librariesOf(program: string): Libraries {
  const lines = execFileSync('ldd', [program], { encoding: 'utf8' }).split('\n')
  const others = lines.flatMap((line) => / => (\/\S+)/.exec(line)?.[1] ?? [])
  const loader = lines.map((line) => /^\s*(\/\S+) \(/.exec(line)?.[1]).find((path) => path !== undefined)
  if (loader === undefined || others.length === 0) throw new Error(`no libraries of ${program}: ${lines.join(' ')}`)
  return { loader, others }
}

function copy(from: string, to: string, mode: number): void {
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(realpathSync(from), to)
  chmodSync(to, mode)
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(target, path)
}

/** Where the program itself looks for its loader and libraries: in the image it is executed without the launcher. */
function linkLibraries(image: string, { loader, others }: Libraries): void {
  link(`${home}/${librariesName}/${loaderName}`, image + loader)
  for (const folder of new Set(others.map(dirname))) link(`${home}/${librariesName}`, image + folder)
}

function copyLicences(image: string): void {
  copy(join(root, 'LICENSE'), `${image}${home}/LICENSE`, 0o644)
  for (const name of libraryPackages) {
    const file = `/usr/share/doc/${name}/copyright`
    if (existsSync(file)) copy(file, image + file, 0o644)
  }
}

/** From the leaves to the root: what is made in a folder changes its time. */
function setTimes(path: string, seconds: number): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name)
    if (entry.isDirectory()) setTimes(inner, seconds)
    else lutimesSync(inner, seconds, seconds)
  }
  chmodSync(path, 0o755)
  lutimesSync(path, seconds, seconds)
}

/** Lays out `image` from a folder that `make build` has filled. */
export function layOutImage(binaries: string, image: string, epochSeconds: number): void {
  rmSync(image, { recursive: true, force: true })
  const own = image + home
  const names = readdirSync(binaries).filter((name) => name === programName || name.startsWith(`${programName}-`))
  for (const name of names.sort()) copy(join(binaries, name), join(own, name), 0o755)
  const libraries = librariesOf(join(binaries, programName))
  copy(libraries.loader, join(own, librariesName, loaderName), 0o755)
  for (const library of libraries.others) copy(library, join(own, librariesName, basename(library)), 0o644)
  linkLibraries(image, libraries)
  copyLicences(image)
  // The installer holds what it copies to these.
  const files = readFileSet(own, 'image').files.filter(({ name, source }) => name === source)
  writeFileSync(join(own, sumsName), sumsOf(files), { mode: 0o644 })
  setTimes(image, epochSeconds)
}

if (import.meta.main) {
  const image = join(root, 'dist', 'image')
  layOutImage(join(root, 'dist', 'cni'), image, Number(process.env.SOURCE_DATE_EPOCH ?? 0))
  process.stdout.write(`laid out ${image}: docker build -f install/Dockerfile .\n`)
}
