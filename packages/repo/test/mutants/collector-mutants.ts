import type { Mutant } from './mutant.ts'

const PRUNE = 'prune/prune.js'
const PREPARE = 'prune/prepare-sweep.js'
const REMOVAL = 'prune/removal.js'

/** The rules of collectors, each taken out. */
export const COLLECTOR_MUTANTS: readonly Mutant[] = [
  {
    name: 'nofinish',
    what: 'a generation begins while the one before is not done',
    edits: [{ file: PRUNE, find: 'if (!idle) {', replace: 'if (newest < 0) {' }],
  },
  {
    name: 'nowait',
    what: 'sessions are neither waited for nor fenced',
    ground: { scene: 'overtaken' },
    edits: [
      {
        file: PRUNE,
        find: 'const before = open.filter((session) => session.generation < generation);',
        replace: 'const before = [];',
      },
    ],
  },
  {
    name: 'earlysessions',
    what: 'sessions are listed before the mark is published',
    ground: { scene: 'overtaken' },
    edits: [
      {
        file: PRUNE,
        find: 'const generation = newest + 1;',
        replace:
          'const generation = newest + 1; this.early = await openSessionsNow(this.#context, this.#signal);',
      },
      {
        file: PRUNE,
        find: 'for (;;) { const open = await openSessionsNow(this.#context, this.#signal);',
        replace:
          'for (;;) { const open = this.early ?? (await openSessionsNow(this.#context, this.#signal)); this.early = undefined;',
      },
    ],
  },
  {
    name: 'earlysnapshots',
    what: 'snapshots are listed again before the wait is over',
    ground: { scene: 'committing' },
    edits: [
      {
        file: PRUNE,
        find: 'const waitingFor = await this.#endWriters(generation, mark); if (waitingFor.length > 0) return waitingFor;',
        replace: '',
      },
      {
        file: PRUNE,
        find: 'const overlooked = known === undefined',
        replace: `const waitingFor = await this.#endWriters(generation, mark);
          if (waitingFor.length > 0) return waitingFor;
          const overlooked = known === undefined`,
      },
    ],
  },
  {
    name: 'onelook',
    what: 'snapshots are not listed again',
    ground: { scene: 'committing' },
    edits: [
      {
        file: PRUNE,
        find: 'const found = await survey(this.#context,',
        replace: 'const found = known ?? await survey(this.#context,',
      },
    ],
  },
  {
    name: 'norescue',
    what: 'the last copy of a live chunk is neither rescued nor moved',
    ground: { scene: 'committing' },
    edits: [
      {
        file: PREPARE,
        find: 'const needed = this.#numbers(this.#goes).filter((i) => this.#usage.usedEntries[i] > 0);',
        replace: 'const needed = [];',
      },
    ],
  },
  {
    name: 'unseencopies',
    what: 'an index entry is taken for a copy, its pack unseen',
    ground: {
      test: 'prune.test.js',
      title: 'of two copies, one in a pack that was cut or is gone is not the one to be kept',
    },
    edits: [
      { file: 'prune/usage.js', find: 'if (!present) return RANK.absent;', replace: '' },
      {
        file: 'prune/usage.js',
        find: 'if (!whole) return RANK.cut;',
        replace: 'if (present && !whole) return RANK.cut;',
      },
    ],
  },
  {
    name: 'trustloser',
    what: 'segments of collectors count without a winning sweep',
    ground: { scene: 'loser' },
    edits: [
      {
        file: 'gc/session-trust.js',
        find: "if (collectorOf === undefined) return 'fenced';",
        replace: "if (collectorOf === undefined) return 'fenced'; if (collectorOf > 0) return 'committed';",
      },
    ],
  },
  {
    name: 'laterepack',
    what: 'repacked packs and their segment are stored after the sweep',
    edits: [
      {
        file: PRUNE,
        find: 'const prepared = await this.#prepare(generation, condemned, found);',
        replace: `const late = [];
          const { store } = this.#plain;
          this.#plain.store = new Proxy(store, {
            get(_, key) {
              if (key !== 'putIfAbsent') return typeof store[key] === 'function' ? store[key].bind(store) : store[key];
              return async (name, parts, options) => {
                if (!/^(packs|index)\\//.test(name)) return await store.putIfAbsent(name, parts, options);
                late.push([name, parts.map((part) => part.slice())]);
                return 'created';
              };
            },
          });
          const prepared = await this.#prepare(generation, condemned, found);
          this.#plain.store = store;`,
      },
      {
        file: PRUNE,
        find: "const outcome = await this.#put(gcName(generation, 'sweep'), sweep);",
        replace: `const outcome = await this.#put(gcName(generation, 'sweep'), sweep);
          for (const [name, parts] of late) await store.putIfAbsent(name, parts, { signal: this.#signal });`,
      },
    ],
  },
  {
    name: 'nosurvivors',
    what: 'a segment goes although some of its packs stay',
    ground: { scene: 'collectors' },
    edits: [
      {
        file: PREPARE,
        find: 'if (packs[i].present && this.#goes[i] === 0 && !listed.has(i)) stays.add(i);',
        replace: '',
      },
    ],
  },
  {
    name: 'noadopt',
    what: "a collector does its own sweep where another's is published",
    ground: { scene: 'collectors' },
    edits: [
      {
        file: PRUNE,
        find: 'const prepared = await this.#prepare(generation, condemned, found);',
        replace:
          'const prepared = await this.#prepare(generation, condemned, found); this.own = prepared.record;',
      },
      {
        file: PRUNE,
        find: 'await this.#execute(generation, await readPendingSweep(',
        replace: 'await this.#execute(generation, this.own ?? await readPendingSweep(',
      },
    ],
  },
  {
    name: 'earlydone',
    what: '`.done` comes before the removals',
    ground: { scene: 'overtaken' },
    edits: [
      {
        file: REMOVAL,
        find: 'for await (const _ of mapConcurrently(segments, CONCURRENCY, remove)) ;',
        replace: `await store.putIfAbsent(gcName(generation, 'done'), encodeDone(generation, { packs: packs.length, segments: segments.length }, records), { signal });
          for await (const _ of mapConcurrently(segments, CONCURRENCY, remove)) ;`,
      },
    ],
  },
  {
    name: 'dropfence',
    what: 'fences are removed when a generation is done',
    ground: { scene: 'zombie' },
    edits: [
      {
        file: REMOVAL,
        find: 'return { packs: packs.length, segments: segments.length, bytes };',
        replace: `for await (const { name, sizeBytes } of store.list('snapshots/', { signal }))
            if (sizeBytes <= 256) await store.delete(name, { signal });
          return { packs: packs.length, segments: segments.length, bytes };`,
      },
    ],
  },
  {
    name: 'unreadable',
    what: 'a snapshot that cannot be read is taken for absent',
    ground: { test: 'prune.test.js' },
    edits: [
      {
        file: 'snapshots/snapshot-catalog.js',
        find: 'if (onDamaged === undefined || !(error instanceof PlatterError && UNREADABLE.has(error.code))) throw error; onDamaged(error);',
        replace: 'onDamaged?.(error);',
      },
    ],
  },
  {
    name: 'nosettlesweep',
    what: 'a sweep rests on index segments that may not be durable',
    ground: { test: 'durability.test.js', title: 'a sweep does not rest on a segment that is not durable' },
    edits: [
      {
        file: PRUNE,
        find: '[PACKS_PREFIX, INDEX_PREFIX, SNAPSHOTS_PREFIX, FORGET_PREFIX]',
        replace: '[PACKS_PREFIX, SNAPSHOTS_PREFIX, FORGET_PREFIX]',
      },
    ],
  },
  {
    name: 'nosettlecopies',
    what: 'a sweep rests on packs that may not be durable',
    ground: {
      test: 'durability.test.js',
      title: 'a sweep does not rest on a pack that was put back and is not durable',
    },
    edits: [
      {
        file: PRUNE,
        find: '[PACKS_PREFIX, INDEX_PREFIX, SNAPSHOTS_PREFIX, FORGET_PREFIX]',
        replace: '[INDEX_PREFIX, SNAPSHOTS_PREFIX, FORGET_PREFIX]',
      },
    ],
  },
  {
    name: 'nosettlefences',
    what: 'a sweep rests on fences that may not be durable',
    ground: { test: 'durability.test.js', title: 'a sweep does not rest on a fence that is not durable' },
    edits: [
      {
        file: PRUNE,
        find: '[PACKS_PREFIX, INDEX_PREFIX, SNAPSHOTS_PREFIX, FORGET_PREFIX]',
        replace: '[PACKS_PREFIX, INDEX_PREFIX, FORGET_PREFIX]',
      },
    ],
  },
  {
    name: 'nosettletombstones',
    what: 'a sweep rests on tombstones that may not be durable',
    ground: {
      test: 'io-faults.test.js',
      title: 'a tombstone that was not durable when a prune relied on it',
    },
    edits: [
      {
        file: PRUNE,
        find: '[PACKS_PREFIX, INDEX_PREFIX, SNAPSHOTS_PREFIX, FORGET_PREFIX]',
        replace: '[PACKS_PREFIX, INDEX_PREFIX, SNAPSHOTS_PREFIX]',
      },
    ],
  },
  {
    name: 'nosettlegc',
    what: 'a prune does what a sweep says that may not be durable',
    ground: { test: 'durability.test.js', title: 'a sweep is durable before anybody does what it says' },
    edits: [
      {
        file: PRUNE,
        find: 'await settle(this.#plain.store, GC_PREFIX, { signal: this.#signal });',
        replace: '',
      },
    ],
  },
  {
    name: 'futureclocks',
    what: 'a mark from a clock that is ahead keeps the dead alive',
    ground: {
      test: 'prune.test.js',
      title: 'a collector whose clock was ahead does not keep a dead session alive',
    },
    edits: [{ file: 'prune/writers.js', find: '|| before.sinceMillis > timeMillis', replace: '' }],
  },
  {
    name: 'onetry',
    what: 'a collector does not look again when another moved what it missed',
    edits: [
      {
        file: 'gc/gc-state.js',
        find: 'if (!isMissing || attempt === MAX_TRIES)',
        replace: 'if (attempt > 0)',
      },
    ],
  },
  {
    name: 'notidysettle',
    what: 'the records of a session go before its snapshot is durable',
    ground: {
      test: 'durability.test.js',
      title: 'what a session said goes only when its snapshot is durable',
    },
    edits: [
      { file: REMOVAL, find: 'await settle(objects.store, SNAPSHOTS_PREFIX, { signal });', replace: '' },
    ],
  },
  {
    name: 'cutcopies',
    what: 'a copy in a pack that was cut counts like any other',
    ground: {
      test: 'prune.test.js',
      title: 'of two copies, one in a pack that was cut or is gone is not the one to be kept',
    },
    edits: [{ file: 'prune/usage.js', find: 'if (!whole) return RANK.cut;', replace: '' }],
  },
  {
    name: 'nostop',
    what: 'a live chunk of which no copy is seen does not stop a collector',
    ground: {
      test: 'io-faults.test.js',
      title: 'a list that is short without an error: what lives and is not seen stops a prune',
    },
    edits: [{ file: 'prune/usage.js', find: 'throw onMissing(first);', replace: 'continue;' }],
  },
]
