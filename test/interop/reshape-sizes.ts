// Every file system shown larger and smaller: its checker finds nothing, all files are there, the source is untouched, and
// a second view is the same to the byte where the file system allows that.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { minimumSize, scratchNeeded } from '../../src/reshape/minimum.js';
import { makeView } from '../../src/reshape/view.js';
import { HAS_LOOP } from '../support/loop.js';
import type { Content } from '../support/partition-content.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED, sampleOf } from '../support/random.js';
import { assertNothingLeft, digestOfView, judgeView, makeScene, oddSize, viewOptions } from '../support/reshape.js';
import { scratchFolder } from '../support/scratch.js';

interface Kind {
  readonly filesystem: string;
  readonly content: Content;
  /** In MiB. */
  readonly size: number;
  readonly larger: number;
  /** Missing: nothing makes it smaller. */
  readonly smaller?: number;
  /** False: the kernel writes times and random numbers into it. */
  readonly isRepeatable: boolean;
}

const ext = (...options: string[]): Content => ({ kind: 'ext', options });

const KINDS: readonly Kind[] = [
  { filesystem: 'ext4', content: ext('-t', 'ext4'), size: 96, larger: 140, smaller: 64, isRepeatable: true },
  {
    filesystem: 'ext4',
    content: ext('-t', 'ext4', '-b', '1024', '-O', '^64bit,^metadata_csum'),
    size: 80,
    larger: 120,
    smaller: 50,
    isRepeatable: true,
  },
  {
    filesystem: 'ext3',
    content: ext('-t', 'ext3', '-b', '4096'),
    size: 80,
    larger: 130,
    smaller: 60,
    isRepeatable: true,
  },
  {
    filesystem: 'ext2',
    content: ext('-t', 'ext2', '-b', '4096'),
    size: 80,
    larger: 130,
    smaller: 60,
    isRepeatable: true,
  },
  {
    filesystem: 'ntfs',
    content: { kind: 'ntfs', clusterSize: 4096 },
    size: 80,
    larger: 110,
    smaller: 40,
    isRepeatable: true,
  },
  { filesystem: 'xfs', content: { kind: 'xfs', options: [] }, size: 320, larger: 370, isRepeatable: false },
  {
    filesystem: 'btrfs',
    content: { kind: 'btrfs', options: [] },
    size: 420,
    larger: 440,
    smaller: 390,
    isRepeatable: false,
  },
  {
    filesystem: 'btrfs',
    content: { kind: 'btrfs', options: ['--csum', 'blake2'] },
    size: 300,
    larger: 330,
    isRepeatable: false,
  },
  {
    filesystem: 'f2fs',
    content: { kind: 'f2fs', options: [] },
    size: 200,
    larger: 230,
    smaller: 160,
    isRepeatable: true,
  },
  {
    filesystem: 'fat32',
    content: { kind: 'fat', bits: 32, sectorsPerCluster: 1 },
    size: 64,
    larger: 160,
    smaller: 40,
    isRepeatable: true,
  },
  { filesystem: 'fat32', content: { kind: 'fat', bits: 32 }, size: 100, larger: 230, smaller: 50, isRepeatable: true },
  {
    filesystem: 'fat16',
    content: { kind: 'fat', bits: 16, sectorsPerCluster: 4 },
    size: 32,
    larger: 100,
    smaller: 20,
    isRepeatable: true,
  },
  { filesystem: 'swap', content: { kind: 'swap' }, size: 20, larger: 65, smaller: 8, isRepeatable: true },
];

const folder = scratchFolder();

function testsOf(kind: Kind, index: number): void {
  const { filesystem, content, isRepeatable, larger, smaller } = kind;
  const test = suite(`${filesystem} ${index}`);
  const scratch = join(folder, `${index}`);
  mkdirSync(scratch);
  const random = randomFrom(SEED + index);
  const scene = makeScene(scratch, { content, filesystem, size: kind.size * MiB, random });

  test('larger, and all of it odd', async () => {
    const wanted = oddSize(larger * MiB);
    const first = await judgeView(await scene, wanted);
    if (isRepeatable) assert.is(await digestOfView(await scene, wanted), first.digest);
  });

  test('smaller, within the room that was asked for', async () => {
    if (smaller === undefined) return;
    const wanted = smaller * MiB;
    const needed = await scratchNeeded(viewOptions(await scene, wanted));
    const first = await judgeView(await scene, wanted);
    assert.ok(first.overlayBytes <= needed, `${first.overlayBytes} of ${needed}`);
    if (isRepeatable) assert.is(await digestOfView(await scene, wanted), first.digest);
  });

  test('at its minimum, and not below', async () => {
    const options = viewOptions(await scene, 0);
    const { minimum, reason } = await minimumSize(options);
    assert.ok(minimum <= Math.ceil(kind.size) * MiB, `${minimum}`);
    assert.ok(reason.length > 0);
    if (minimum < kind.size * MiB) await judgeView(await scene, minimum);
    const error = await thrownBy(() => makeView({ ...options, size: Math.floor(minimum * 0.7) & ~4095 }));
    assert.is((error as { code?: string }).code, 'filesystem.below-minimum', String(error));
    assert.match(String(error), /it needs \d/);
    assertNothingLeft((await scene).scratch);
  });

  test.run();
}

if (HAS_LOOP) for (const kind of sampleOf(KINDS, 4)) testsOf(kind, KINDS.indexOf(kind));
