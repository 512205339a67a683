/** Kubernetes objects out of a text: one JSON, or YAML documents. */
import { parseAllDocuments } from 'yaml'

/** All objects of a text. Throws with the line when it is neither. */
export function readDocuments(text: string): unknown[] {
  if (/^\s*[{[]/.test(text)) {
    try {
      const value: unknown = JSON.parse(text)
      return Array.isArray(value) ? value : [value]
    } catch {
      // YAML's own braces, or several JSON documents behind one another: YAML reads both.
    }
  }
  // Every scalar a text: a container ID of digits is no number, and an offset may be larger than one.
  const documents = parseAllDocuments(text, { schema: 'failsafe' })
  const list = Array.isArray(documents) ? documents : []
  return list.map((document) => {
    const [error] = document.errors
    if (error !== undefined) throw new Error(`Cannot read the input: neither JSON nor YAML: ${error.message}`)
    return document.toJS() as unknown
  })
}
