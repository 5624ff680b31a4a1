import type { BenchOptions } from './bench-options.ts'
import type { CorpusManifest } from './corpus/corpus-manifest.ts'
import { extractRootPartition, growToTebibyte } from './corpus/derived-images.ts'
import { makeCorpus } from './corpus/make-corpus.ts'
import { allPeers } from './peers/index.ts'
import { partclone } from './peers/partclone.ts'
import type { Peer } from './peers/peer.ts'
import { formatMegabytes, formatSeconds } from './report/format.ts'
import { readMachineState } from './report/machine-state.ts'
import type { Results, Run } from './report/results.ts'
import { chooseFolders, isTmpfs } from './scenarios/folders.ts'
import type { ChainContext } from './scenarios/run-chain.ts'
import { runSuite } from './scenarios/run-suite.ts'

/** Makes the images if need be, and measures what the options ask for. */
export async function runBench(
  options: BenchOptions,
  log: (message: string) => void,
  signal: AbortSignal,
): Promise<Results> {
  const chosen = choosePeers(await allPeers(options.node24), options.only)
  const { corpusDir: folder, diskBytes, dataBytes } = options
  const corpus = await makeCorpus({ folder, diskBytes, dataBytes, onProgress: log, signal })
  const { filesystem } = corpus.parameters
  const peers = chosen.filter((peer) => peer !== partclone || filesystem === 'ext4')
  // The whole chain of versions without compression, or a restored image, with room to spare.
  const needs = { repoBytes: dataBytes * 2, targetBytes: diskBytes * 1.1 }
  const folders = await chooseFolders(options, needs)
  const machine = readMachineState()
  const context: ChainContext = {
    images: await prepareImages(corpus, options, peers, log, signal),
    ...folders,
    timeoutSeconds: options.timeoutSeconds,
    signal,
  }
  const { runs, scenarios, slow } = options
  const suite = await runSuite(
    {
      peers,
      scenarios,
      runs,
      slow,
      onRun: (peer, scenario, run) => log(`${peer.title}, ${scenario}: ${describeRun(run)}`),
      onFailure: (peer, message) => log(`${peer.title}: ${message}`),
    },
    context,
  )
  const disk = {
    filesystem,
    diskBytes,
    dataBytes: corpus.packedBytes,
    repositoriesOn: (await isTmpfs(folders.repoDir)) ? ('tmpfs' as const) : ('disk' as const),
  }
  return { date: new Date().toISOString(), machine, disk, runs, ...suite }
}

function describeRun({ wallSeconds, growthBytes, peakBytes }: Run): string {
  const grown = growthBytes === 0 ? '' : `, grew by ${formatMegabytes(growthBytes)} MB`
  const peak = peakBytes === undefined ? '' : `, peak ${formatMegabytes(peakBytes)} MB`
  return `${formatSeconds(wallSeconds)} s${grown}${peak}`
}

function choosePeers(all: readonly Peer[], only: readonly string[] | undefined): Peer[] {
  if (only === undefined) return [...all]
  const unknown = only.filter((id) => !all.some((peer) => peer.id === id))
  if (unknown.length > 0) {
    throw new RangeError(
      `Unknown: ${unknown.join(', ')}. Choose of ${all.map((peer) => peer.id).join(', ')}.`,
    )
  }
  return all.filter((peer) => only.includes(peer.id))
}

async function prepareImages(
  corpus: CorpusManifest,
  options: BenchOptions,
  peers: readonly Peer[],
  log: (message: string) => void,
  signal: AbortSignal,
): Promise<ChainContext['images']> {
  const sizeBytes = corpus.parameters.diskBytes
  const image = (path: string) => ({ path, sizeBytes })
  const clonesPartition = peers.includes(partclone)
  if (clonesPartition || options.scenarios.has('sparse')) log('preparing images')
  return {
    A: {
      ...image(corpus.paths.A),
      packed: corpus.packed,
      ...(clonesPartition ? { rootPartition: await extractRootPartition(corpus, signal) } : {}),
    },
    B: image(corpus.paths.B),
    C: image(corpus.paths.C),
    ...(options.scenarios.has('sparse')
      ? { huge: { path: await growToTebibyte(corpus, signal), sizeBytes: 2 ** 40 } }
      : {}),
  }
}
