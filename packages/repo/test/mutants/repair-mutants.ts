import type { Mutant } from './mutant.ts'

const PACKS = 'repair/repair-packs.js'
const SEGMENTS = 'repair/index-segments.js'

/** The rules of repairs, each taken out. */
export const REPAIR_MUTANTS: readonly Mutant[] = [
  {
    name: 'besideprune',
    what: 'a repair begins while a prune is unfinished',
    edits: [
      {
        file: 'repair/pending-prune.js',
        find: 'if (idle || (dryRun && !newestSwept))',
        replace: 'if (newest >= 0)',
      },
    ],
  },
  {
    name: 'earlyremoval',
    what: 'a repair removes segments before their replacement is durable',
    ground: { test: 'repair.test.js' },
    edits: [
      { file: PACKS, find: 'await uploader?.finish();', replace: '' },
      {
        file: PACKS,
        find: 'await retireSegments(this.#context, ground, replaced, this.#signal);',
        replace:
          'await retireSegments(this.#context, ground, replaced, this.#signal); await uploader?.finish();',
      },
    ],
  },
  {
    name: 'marklosses',
    what: 'a repair that a prune has ended marks what it misses as lost',
    ground: {
      test: 'repair-races.test.js',
      title: 'a repair of packs does not take for lost what a prune that ended its session has moved',
    },
    edits: [
      {
        file: PACKS,
        find: 'if (session !== undefined) await assertNotFenced(store, session, this.#signal);',
        replace: '',
      },
    ],
  },
  {
    name: 'nosweep',
    what: 'a repair removes segments without a sweep',
    ground: { test: 'repair-races.test.js' },
    edits: [
      {
        file: 'repair/retire-segments.js',
        find: 'let generation = ground;',
        replace: `for (const name of names) await context.store.delete(name, { signal });
          let generation = ground;
          if (generation >= 0) return [];`,
      },
    ],
  },
  {
    name: 'latesnapshots',
    what: 'a repair lists snapshots after the index',
    edits: [
      { file: PACKS, find: 'const ids = await catalog.ids(this.#signal);', replace: '' },
      {
        file: PACKS,
        find: 'const { snapshots, unreadable } = await this.#snapshots(ids);',
        replace: 'const { snapshots, unreadable } = await this.#snapshots(await catalog.ids(this.#signal));',
      },
    ],
  },
  {
    name: 'nosettlepacks',
    what: 'a repair lists packs that may not be durable',
    ground: { test: 'durability.test.js', title: 'a repair lists no pack that is not durable' },
    edits: [
      {
        file: 'pack/list-packs.js',
        find: '[PACKS_PREFIX, QUARANTINE_PREFIX]',
        replace: '[QUARANTINE_PREFIX]',
      },
    ],
  },
  {
    name: 'nosettlequarantine',
    what: 'a repair leaves out packs that are put aside, perhaps not durably',
    ground: {
      test: 'io-faults.test.js',
      title: 'a repair makes durable what an attempt before it could not sync',
    },
    edits: [
      { file: 'pack/list-packs.js', find: '[PACKS_PREFIX, QUARANTINE_PREFIX]', replace: '[PACKS_PREFIX]' },
    ],
  },
  {
    name: 'nosettleindex',
    what: 'a repair takes for done what an earlier one did not make durable',
    ground: {
      test: 'io-faults.test.js',
      title: 'a repair makes durable what an attempt before it could not sync',
    },
    edits: [{ file: SEGMENTS, find: 'await settle(objects.store, INDEX_PREFIX, { signal });', replace: '' }],
  },
  {
    name: 'nosettlemarks',
    what: 'a repair takes for written a mark of what is lost that may not be durable',
    ground: {
      test: 'io-faults.test.js',
      title: 'a mark of what is lost that was not durable when a repair found it',
    },
    edits: [
      {
        file: PACKS,
        find: 'await settle(this.#context.store, DAMAGE_PREFIX, { signal: this.#signal });',
        replace: '',
      },
    ],
  },
  {
    name: 'nosettlegcrepair',
    what: 'a repair does what a sweep says that may not be durable',
    ground: { test: 'durability.test.js', title: 'a sweep is durable before anybody does what it says' },
    edits: [
      { file: 'repair/pending-prune.js', find: 'await settle(store, GC_PREFIX, { signal });', replace: '' },
    ],
  },
]
