// The comparisons. Each makes its disks, runs its contestants in turn and takes its disks away again.

import { closeSync, openSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { formatBytes, GiB, TiB } from '../../src/base/units.js';
import { type Contestant, contest, run } from './contestant.js';
import { changeFiles, checkEqual, checkFiles, fillWithNoise, makeFilesystem } from './disks.js';
import {
  bareNode,
  ddRead,
  deltaCopies,
  ectypeAgain,
  ectypeCommand,
  ectypeFirst,
  ectypeVersion,
  filesystemCopies,
  floorCopy,
  floorRead,
  noteUsed,
  wholeCopies,
} from './programs.js';
import { summarise } from './report.js';
import { type Scenario, withPair } from './scenario.js';
import { scale, standbyBtrfs, standbyExt4, standbyNtfs, standbyXfs } from './standby.js';

function checking(contestants: readonly Contestant[], check: () => void): Contestant[] {
  return contestants.map((contestant) => ({ ...contestant, check }));
}

const first: Scenario = (options) =>
  withPair(options, (pair) => {
    fillWithNoise(pair.source, 'first');
    const contestants = [...wholeCopies(pair), floorCopy(pair, { used: false }), ectypeFirst(pair)];
    const samples = contest(
      checking(contestants, () => checkEqual(pair.source, pair.target)),
      options.rounds,
    );
    return summarise({ name: 'first', title: `first clone, all of ${formatBytes(options.size)} used` }, samples);
  });

const HALF = 0.5;

const half: Scenario = (options) =>
  withPair(options, (pair) => {
    makeFilesystem(pair.source, HALF);
    noteUsed(pair);
    const contestants = [...filesystemCopies(pair), floorCopy(pair, { used: true }), ectypeFirst(pair)];
    const samples = contest(
      checking(contestants, () => checkFiles(pair.source, pair.target)),
      options.rounds,
    );
    return summarise(
      { name: 'half', title: `first clone, ext4 of ${formatBytes(options.size)}, half used, noise between` },
      samples,
    );
  });

/** As full as ext4 gets with files of equal length. */
const FULL = 0.9;

const unchanged: Scenario = (options) =>
  withPair(options, (pair) => {
    makeFilesystem(pair.source, FULL);
    noteUsed(pair);
    const ectype = ectypeAgain(pair, () => {});
    const readers = [ddRead(pair), floorRead(pair)];
    const samples = contest(
      [
        ...readers,
        ...checking([...wholeCopies(pair), ...deltaCopies(pair, () => {}), ectype], () =>
          checkFiles(pair.source, pair.target),
        ),
      ],
      options.rounds,
    );
    return summarise(
      { name: 'unchanged', title: `second run, nothing changed, ext4 of ${formatBytes(options.size)}, 90 % used` },
      samples,
    );
  });

const changed: Scenario = (options) =>
  withPair(options, (pair) => {
    makeFilesystem(pair.source, HALF);
    noteUsed(pair);
    let changes = 0;
    const change = (): void => {
      changes += 1;
      changeFiles(pair.source, HALF, String(changes));
    };
    const contestants = [
      ddRead(pair),
      floorRead(pair),
      ...checking([...filesystemCopies(pair), ...deltaCopies(pair, change), ectypeAgain(pair, change)], () =>
        checkFiles(pair.source, pair.target),
      ),
    ];
    return summarise(
      {
        name: 'changed',
        title: `second run, 1 % of the files changed, ext4 of ${formatBytes(options.size)}, half used`,
      },
      contest(contestants, options.rounds),
    );
  });

const STARTS = 15;

const start: Scenario = ({ rounds }) =>
  summarise(
    { name: 'start', title: 'start of the command line' },
    contest([bareNode(), ectypeVersion()], rounds === 1 ? 3 : STARTS),
  );

/** Peak memory must not follow the size of the disk. Raw files, because a loop device cannot be as long as this. */
const memory: Scenario = ({ folder, size, rounds }) => {
  const stateFolder = join(folder, 'state');
  const sizes = rounds === 1 && size < GiB ? [GiB, 128 * GiB] : [4 * GiB, 16 * TiB];
  const made: string[] = [];
  const contestants = sizes.map((bytes): Contestant => {
    const source = join(folder, `sparse-${bytes}`);
    const target = `${source}.target`;
    made.push(source, target);
    closeSync(openSync(source, 'wx'));
    truncateSync(source, bytes);
    const inodes = ['-T', 'largefile4', '-N', String(Math.max(1024, Math.min(2 ** 21, bytes / 2 ** 23)))];
    run(['mkfs.ext4', '-q', '-F', '-O', '64bit', ...inodes, '-E', 'lazy_itable_init=1,nodiscard', source]);
    return {
      name: `ectype, empty ext4 of ${formatBytes(bytes)}`,
      role: 'ectype',
      command: ectypeCommand(source, target),
      environment: { ECTYPE_STATE: stateFolder },
      before: () => {
        rmSync(stateFolder, { recursive: true, force: true });
        rmSync(target, { force: true });
      },
      check: () => run(['e2fsck', '-fn', target]),
    };
  });
  try {
    return summarise(
      { name: 'memory', title: 'memory of a first clone, by size of the disk' },
      contest(contestants, 1),
    );
  } finally {
    for (const path of made) rmSync(path, { force: true });
    rmSync(stateFolder, { recursive: true, force: true });
  }
};

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  first,
  half,
  unchanged,
  changed,
  start,
  memory,
  'standby-ext4': standbyExt4,
  'standby-xfs': standbyXfs,
  'standby-btrfs': standbyBtrfs,
  'standby-ntfs': standbyNtfs,
  scale,
};
