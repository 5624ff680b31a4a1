import type { Mutant } from './mutant.ts'

const SESSION = 'session/writer-session.js'
const CLAIMS = 'index/load-claims.js'
const BACKUP = 'backup/backup.js'
const UPLOADER = 'pack/pack-uploader.js'

/** The rules of writers and readers, each taken out. */
export const WRITER_MUTANTS: readonly Mutant[] = [
  {
    name: 'noreread',
    what: 'the generation is not read again after the intent',
    ground: { scene: 'checkpoint' },
    edits: [{ file: SESSION, find: 'if (isListed && newest === generation)', replace: 'if (newest >= 0)' }],
  },
  {
    name: 'cachedindex',
    what: 'the index is loaded before the intent',
    edits: [
      {
        file: BACKUP,
        find: 'const sessions = await BackupSessions.begin(',
        replace: `const claims = await loadClaims(context, workers, context.config.chunker, context.config.regionBytes, signal);
          const sessions = await BackupSessions.begin(`,
      },
      {
        file: BACKUP,
        find: 'const claims = await loadClaims(context, workers, chunker, regionBytes, signal);',
        replace: '',
      },
    ],
  },
  {
    name: 'trustfenced',
    what: 'writers believe segments of fenced sessions',
    ground: { scene: 'zombie' },
    edits: [
      {
        file: CLAIMS,
        find: "if ((await trust.standing(indexSessionOfName(stat.name), signal)) !== 'fenced')",
        replace: 'if (stat !== undefined)',
      },
    ],
  },
  {
    name: 'earlyfences',
    what: 'writers list fences before the intent',
    ground: { scene: 'zombie' },
    edits: [
      {
        file: 'backup/backup-sessions.js',
        imports: "import { SessionTrust } from '../gc/session-trust.js';",
        find: 'const session = await WriterSession.begin(context, context, signal);',
        replace: `context.earlyTrust = await SessionTrust.list(context, signal);
          const session = await WriterSession.begin(context, context, signal);`,
      },
      {
        file: CLAIMS,
        find: 'const trust = await SessionTrust.list(objects, signal);',
        replace: 'const trust = objects.earlyTrust;',
      },
    ],
  },
  {
    name: 'ignorecondemned',
    what: 'writers believe condemned packs',
    edits: [
      { file: CLAIMS, find: 'if (idle) return new Set();', replace: 'if (newest >= 0) return new Set();' },
    ],
  },
  {
    name: 'latedone',
    what: 'writers look for `.done` after they have read the index',
    ground: { scene: 'overtaken' },
    edits: [
      {
        file: CLAIMS,
        find: 'const condemned = await condemnedPacks(objects, signal);',
        replace: '',
      },
      {
        file: CLAIMS,
        find: 'for await (const segment of readIndexSegments(objects, stats, signal)) {',
        replace: `const segments = [];
          for await (const segment of readIndexSegments(objects, stats, signal)) segments.push(segment);
          const condemned = await condemnedPacks(objects, signal);
          for (const segment of segments) {`,
      },
    ],
  },
  {
    name: 'leaseonly',
    what: 'a commit replaces a fence',
    edits: [
      {
        file: SESSION,
        find: "if (outcome === 'exists') throw sessionFenced(this.id);",
        replace: `if (outcome === 'exists') {
          await store.delete(snapshotName(this.id), { signal });
          await store.putIfAbsent(snapshotName(this.id), record, { signal });
        }`,
      },
    ],
  },
  {
    name: 'keepclaims',
    what: 'after a checkpoint, the writer goes on with what it knew, whatever the generation',
    ground: { scene: 'checkpoint' },
    edits: [
      {
        file: 'backup/backup-sessions.js',
        find: 'if (next.generation !== last.generation)',
        replace: 'if (next.generation < last.generation)',
      },
    ],
  },
  {
    name: 'freshbeats',
    what: 'a sign of life claims the newest generation',
    ground: { scene: 'waiting' },
    edits: [
      {
        file: SESSION,
        find: 'const beat = { generation: this.generation,',
        replace: 'const beat = { generation: (await readGcState(store, signal)).newest,',
      },
    ],
  },
  {
    name: 'earlysegment',
    what: 'a segment is stored before its packs are',
    edits: [
      {
        file: UPLOADER,
        find: `await this.#objects.store.putIfAbsent(name, [file], this.#callOptions);
          this.#bytesStored += file.length;
          this.list(pack);`,
        replace: `this.list(pack);
          this.#writeSegment();
          await this.#segmentWrite;
          await this.#objects.store.putIfAbsent(name, [file], this.#callOptions);
          this.#bytesStored += file.length;`,
      },
    ],
  },
  {
    name: 'earlycommit',
    what: 'a commit does not wait for the segments',
    edits: [
      {
        file: UPLOADER,
        find: 'if (this.#failure !== undefined) throw this.#failure; this.#writeSegment(); await this.#segmentWrite;',
        replace: 'if (this.#failure !== undefined) throw this.#failure; this.#writeSegment();',
      },
    ],
  },
  {
    name: 'samenames',
    what: 'a pack that is stored again has the same name',
    edits: [
      {
        file: 'pack/small-packs.js',
        find: 'packCipher(this.#packKey, this.#random(PACK_SALT_BYTES))',
        replace: 'packCipher(this.#packKey, new Uint8Array(PACK_SALT_BYTES))',
      },
    ],
  },
  {
    name: 'nosettle',
    what: 'a backup relies on segments that may not be durable',
    ground: {
      test: 'io-faults.test.js',
      title: 'an index segment that was not durable when a backup relied on it',
    },
    edits: [
      { file: CLAIMS, find: 'await settleOpenSegments(objects.store, stats, trust, signal);', replace: '' },
    ],
  },
  {
    name: 'blindreaders',
    what: 'readers ignore segments of fenced sessions',
    edits: [
      {
        file: 'index/load-index.js',
        imports: "import { SessionTrust } from '../gc/session-trust.js';",
        find: 'const stats = await listIndexSegments(objects, signal); const names',
        replace: `const all = await listIndexSegments(objects, signal);
          const trust = await SessionTrust.list(objects, signal);
          const stats = [];
          for (const stat of all)
            if ((await trust.standing(indexSessionOfName(stat.name), signal)) !== 'fenced') stats.push(stat);
          const names`,
      },
    ],
  },
  {
    name: 'oncelooked',
    what: 'a reader that misses something does not read the index again',
    ground: { test: 'prune-races.test.js', title: 'an image that is open while everything moves reads on' },
    edits: [
      {
        file: 'pack/blob-reader.js',
        find: 'if (!isMissing(error) || !(await this.reload(index))) throw error;',
        replace: 'if (index !== undefined) throw error;',
      },
    ],
  },
  {
    name: 'notombstones',
    what: 'tombstones are ignored',
    edits: [
      {
        file: 'snapshots/snapshot-catalog.js',
        find: 'if (id !== undefined && !forgotten.has(id)) ids.push(id);',
        replace: 'if (id !== undefined) ids.push(id);',
      },
    ],
  },
  {
    name: 'nobeats',
    what: 'a writer gives no sign of life',
    ground: { scene: 'waiting' },
    edits: [{ file: SESSION, find: 'await this.#beat(signal);', replace: '' }],
  },
]
