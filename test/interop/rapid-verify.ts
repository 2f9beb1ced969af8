// Verification after runs that read little: it reads all of the target, and what it finds wrong is written again.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { readAt, writeAt } from '../support/disk-builder.js';
import { type Ectype, ectypeIn } from '../support/ectype-cli.js';
import { makeImage, mounted } from '../support/ext4-image.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const BLOCK = 4096;
/** Stamps of the last two seconds before a run prove nothing. */
const SETTLED_MS = 2200;

interface Pair {
  readonly source: string;
  readonly target: string;
  readonly ectype: Ectype;
  /** In the middle of a file that has not changed for long. */
  readonly place: number;
}

async function clonedVolume(name: string): Promise<Pair> {
  const source = join(scratch, `${name}-source.img`);
  const target = join(scratch, `${name}-target.img`);
  makeImage(source, 64 * MiB, ['-b', String(BLOCK)]);
  mounted(source, (folder) => writeFileSync(join(folder, 'old'), randomFrom(SEED).bytes(8 * MiB)));
  await sleep(SETTLED_MS);
  const ectype = ectypeIn(join(scratch, name));
  ectype.clone(source, target);
  const place = Number(run('debugfs', ['-R', 'bmap old 1000', source])) * BLOCK;
  return { source, target, ectype, place };
}

function isSame({ source, target, place }: Pair): boolean {
  return readAt(source, place, BLOCK).equals(readAt(target, place, BLOCK));
}

/** The file system's own metadata, and so its token, stay as they are. */
function damage({ target, place }: Pair): void {
  writeAt(target, place + 100, Buffer.from('damaged'));
}

test('what was not read because it is proved is verified all the same', async () => {
  const pair = await clonedVolume('proved');
  const { source, target, ectype } = pair;
  mounted(source, (folder) => writeFileSync(join(folder, 'new'), 'something to copy'));
  damage(pair);
  const { status, events } = ectype.try('clone', '--yes', '--verify', source, target);
  assert.is(status, 7, JSON.stringify(events.at(-1)));
  ectype.clone(source, target);
  assert.ok(isSame(pair), 'the next run writes it again');
});

test('what verification found wrong is written again, although the source is what it was', async () => {
  const pair = await clonedVolume('untouched');
  const { source, target, ectype } = pair;
  damage(pair);
  assert.is(ectype.try('clone', '--yes', '--verify', source, target).status, 7);
  ectype.clone(source, target);
  assert.ok(isSame(pair));
  assert.is(ectype.clone(source, target).plan.volumes[0]?.detect, 'rapid', 'from then on as before');
});

test.run();
