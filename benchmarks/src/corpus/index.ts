export type { CorpusManifest, CorpusParameters, ImageName } from './corpus-manifest.ts'
export { type DemoDisk, type DemoDiskOptions, makeDemoDisk } from './demo-disk.ts'
export { extractRootPartition, growToTebibyte } from './derived-images.ts'
export { CORPUS_DEFAULTS, type CorpusOptions, makeCorpus } from './make-corpus.ts'
