/**
 * Maps items by an asynchronous function, at most `concurrency` at once, and yields the results in the order of
 * the items. When one fails, the error is thrown after the calls under way have settled.
 */
export async function* mapConcurrently<In, Out>(
  items: Iterable<In> | AsyncIterable<In>,
  concurrency: number,
  map: (item: In) => Promise<Out>,
): AsyncGenerator<Out> {
  const running: Promise<Out>[] = []
  try {
    for await (const item of items) {
      const call = map(item)
      // Its rejection is reported when its turn comes; until then it must not count as unhandled.
      call.catch(() => undefined)
      running.push(call)
      if (running.length >= concurrency) yield await running.shift()!
    }
    while (running.length > 0) yield await running.shift()!
  } finally {
    await Promise.allSettled(running)
  }
}
