// A worker that answers each message with an error, in the form that crosses threads.
import { parentPort } from 'node:worker_threads'
import { PlatterError, toTransported } from '@platter/core'

const thrown: Record<string, () => unknown> = {
  platter: () =>
    new PlatterError('ERR_SOURCE_READ', 'The source cannot be read.', {
      path: '/dev/sdz',
      offset: 2 ** 52 + 1,
      length: 4096,
      expected: 'data',
      actual: 7,
      systemCode: 'EIO',
      candidates: ['a', 'b'],
      cause: () => 'a cause that no message can carry',
    }),
  error: () => new TypeError('undefined is not a function'),
  text: () => 'only a text',
  nothing: () => undefined,
}

parentPort!.on('message', (what: string) => parentPort!.postMessage(toTransported(thrown[what]!())))
