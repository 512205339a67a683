/** The container image without an engine: install/Dockerfile, carried out in a folder. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { layOutImage } from '../../packaging/image.ts'
import { binaries } from './host.ts'

const dockerfile = join(import.meta.dirname, '..', '..', 'install', 'Dockerfile')

export interface Instruction {
  readonly name: string
  readonly value: string
}

/** The instructions of a Dockerfile: comments are gone, continued lines joined. */
export function instructions(): Instruction[] {
  const text = readFileSync(dockerfile, 'utf8')
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, '')
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', value = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? []
      return { name, value }
    })
}

const only = (name: string): string[] => instructions().flatMap((one) => (one.name === name ? [one.value] : []))

/** What a container of the image starts, with these arguments instead of its own. */
export function commandOf(args?: readonly string[]): string[] {
  const [entry = '[]', command = '[]'] = [...only('ENTRYPOINT'), ...only('CMD')]
  return [...JSON.parse(entry), ...(args ?? JSON.parse(command))]
}

/** Carries out what the Dockerfile copies; the folder is removed when it is disposed of. */
export class Image implements Disposable {
  readonly #work = mkdtempSync(join(tmpdir(), 'berth-image-'))
  readonly root = join(this.#work, 'root')

  constructor() {
    layOutImage(binaries, join(this.#work, 'dist', 'image'), 0)
    mkdirSync(this.root)
    for (const value of only('COPY')) {
      const [from = '', to = ''] = value.split(' ')
      cpSync(join(this.#work, from), join(this.root, to), {
        recursive: true,
        verbatimSymlinks: true,
        preserveTimestamps: true,
      })
    }
  }

  /** The folder that is installed from. */
  get home(): string {
    return join(this.root, 'opt', 'berth')
  }

  [Symbol.dispose](): void {
    rmSync(this.#work, { recursive: true, force: true })
  }
}
