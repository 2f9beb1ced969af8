// Rapid clones from outside: a file system is worked on and cloned again, and in between happens what must not lead to a
// changed block that is missed: other targets, other sources, other clocks, killed runs, older states.

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { ectypeIn } from '../support/ectype-cli.js';
import { ectypeUntil } from '../support/ending.js';
import { randomFrom, SEED } from '../support/random.js';
import { type Expected, RAPID, RapidHistory } from '../support/rapid-history.js';
import { copyInto, RAPID_KINDS } from '../support/rapid-kinds.js';
import { pageOut, useSwap } from '../support/rapid-swap.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const ROUNDS = Number(process.env['ECTYPE_RAPID_ROUNDS'] ?? rounds({ short: 2, long: 200 }));
/** As long as stamps prove nothing. */
const RACY_SECONDS = '2.1';
const LONGEST_RUN_MS = 700;

/** A clock that is an hour ahead, for the program alone. */
const AHEAD = join(scratch, 'ahead.mjs');
writeFileSync(AHEAD, 'const now = Date.now.bind(Date);\nDate.now = () => now() + 3_600_000;\n');

interface Disturbance {
  readonly name: string;
  /** After the work on the source; what the next plan may say then, and with which options it is made. */
  readonly act: (history: RapidHistory) => Promise<Expected & { readonly options?: readonly string[] }>;
  readonly possible?: (history: RapidHistory) => boolean;
}

const isRemembered = ({ moment }: RapidHistory): boolean => moment !== undefined;
const COMPARE: Expected = { modes: ['compare'] };

/** What was true of the target when the moment was kept is true still, if no run has written since. */
const ifOld = ({ moment, writes }: RapidHistory): Expected => (moment?.writes === writes ? RAPID : COMPARE);

const DISTURBANCES: readonly Disturbance[] = [
  { name: 'nothing', act: async () => RAPID },
  { name: 'nothing at all', act: async () => RAPID },
  {
    name: 'the target is written to',
    async act({ kind, target, random }) {
      await kind.mounted(target, (folder) => {
        writeFileSync(join(folder, 'still/7'), random.bytes(100_000));
        writeFileSync(join(folder, 'of the target'), random.bytes(9000));
      });
      return COMPARE;
    },
  },
  {
    name: 'an older copy of the target',
    possible: isRemembered,
    async act(history) {
      history.bringBack('target');
      return ifOld(history);
    },
  },
  {
    name: 'the target was an older copy for a while',
    possible: isRemembered,
    async act(history) {
      const aside = `${history.target}.aside`;
      copyInto(history.target, aside);
      history.bringBack('target');
      copyInto(aside, history.target);
      rmSync(aside);
      return RAPID;
    },
  },
  {
    name: 'an older copy of the source',
    possible: isRemembered,
    async act(history) {
      history.bringBack('source');
      history.startOver();
      if (history.random.chance(0.7)) await history.work();
      return { modes: ['rapid', 'hash'] }; // its size may have been another
    },
  },
  {
    name: 'the clock was ahead',
    async act(history) {
      const ectype = ectypeIn(history.folder, { NODE_OPTIONS: `--import ${AHEAD}` });
      const { changed } = await history.clone({ modes: ['rapid', 'hash'] }, { ectype });
      if (history.random.chance(0.7)) await history.work();
      // What changed nothing kept the older catalogue.
      return changed ? { modes: ['hash'], reason: /clock was set back|made anew/ } : { modes: ['rapid', 'hash'] };
    },
  },
  {
    name: 'a killed run',
    async act(history) {
      const { source, target, ectype, random } = history;
      const afterMs = random.below(LONGEST_RUN_MS);
      const words = ['clone', '--yes', '--json', source, target];
      const { signal } = await ectypeUntil(words, { state: ectype.state, end: { signal: 'SIGKILL', afterMs } });
      history.told.push(`${signal ?? 'no signal'} after ${afterMs} ms`);
      history.moment = undefined; // nobody knows whether it wrote, so whether the copies still are what they were
      if (random.chance(0.5)) await history.work();
      return { modes: ['rapid', 'hash', 'compare'] };
    },
  },
  {
    name: 'an older state folder',
    possible: isRemembered,
    async act(history) {
      history.bringBack('state');
      return ifOld(history);
    },
  },
  {
    name: 'paging',
    possible: ({ kind }) => kind.swap,
    async act({ source, random, told }) {
      told.push(`${pageOut(source, random)} pages`);
      return { modes: ['rapid', 'hash'], options: ['--keep-excluded'] };
    },
  },
  {
    name: 'files left out are kept',
    possible: ({ kind }) => kind.swap,
    act: async () => ({ modes: ['rapid', 'hash'], options: ['--keep-excluded'] }),
  },
  {
    name: 'another file system of the same name',
    async act(history) {
      const { kind, source } = history;
      kind.make(source, kind.uuidOf(source));
      await history.fill();
      return { modes: ['rapid', 'hash'] };
    },
  },
  { name: 'all is read', act: async () => ({ modes: ['hash'], reason: /asked/, options: ['--detect', 'hash'] }) },
  { name: 'a full check', act: async () => ({ modes: ['compare'], options: ['--full-check-every', '1'] }) },
];

async function round(history: RapidHistory): Promise<void> {
  const { random, told } = history;
  await history.work();
  const possible = DISTURBANCES.filter(({ possible }) => possible?.(history) ?? true);
  const { name, act } = random.pick([...possible.slice(0, 2), ...possible]);
  told.push(`[${name}]`);
  const { options = [], ...expected } = await act(history);
  // A size that changed makes it another file system for the catalogue.
  const modes =
    expected.modes.includes('rapid') && history.kind.name === 'btrfs' ? (['rapid', 'hash'] as const) : expected.modes;
  await history.clone({ ...expected, modes }, { options });
  if (random.chance(0.3)) {
    const again = history.ectype.clone(history.source, history.target, '--full-check-every', '0', ...options);
    assert.not.ok(again.changed, 'nothing is left to do');
  }
  if (random.chance(0.6)) history.remember();
}

/** A mount that changes nothing but what lies in the swap file: not even its stamps may tell. */
async function pageAlone({ kind, random, source, target, ectype }: RapidHistory): Promise<void> {
  const again = (): unknown => ectype.clone(source, target, '--keep-excluded', '--full-check-every', '0');
  again();
  await kind.mounted(source, (folder) => assert.is(useSwap(folder), 'swapon'), 'noatime');
  again();
  await kind.mounted(source, useSwap, 'noatime');
  assert.ok(pageOut(source, random) > 0);
  again();
  assert.equal(ectype.verify(source, target, '--keep-excluded').differences, [], 'MISSED');
}

const histories: RapidHistory[] = [];
for (const [index, kind] of RAPID_KINDS.entries()) {
  const history = new RapidHistory(kind, { random: randomFrom(SEED + index), scratch });
  await history.make();
  histories.push(history);
}
run('sleep', [RACY_SECONDS]);

for (const history of histories) {
  test(`${history.kind.name}: ${ROUNDS} rounds`, async () => {
    const { told, runs, folder } = history;
    await history.clone({ modes: ['first'] });
    history.remember();
    for (let number = 0; number < ROUNDS; number += 1) {
      told.push(`\n${number}:`);
      try {
        await round(history);
      } catch (error) {
        throw new Error(`round ${number} of seed ${SEED}: ${told.join(' ')}\n${error}`, { cause: error });
      }
    }
    if (history.kind.swap) await pageAlone(history);
    const [read, used] = [runs.read, runs.used].map((bytes) => (bytes / MiB).toFixed(0));
    console.log(`${history.kind.name}: ${runs.rapid} of ${runs.all} runs were rapid; ${read} of ${used} MiB read`);
    rmSync(folder, { recursive: true });
  });
}

test.run();
