/** What a monitoring system asks for, over a unix socket. */
import { request } from 'node:http'

export interface Fetched {
  readonly status: number
  readonly type: string
  readonly body: string
}

export async function fetchOver(socketPath: string, path: string, method = 'GET'): Promise<Fetched> {
  return await new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body }),
      )
    })
    asked.on('error', reject)
    asked.end()
  })
}

/** The samples of a scrape: `name{labels}` and the value. */
export const samplesOf = (body: string): Map<string, number> =>
  new Map(
    body
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
