// Clones of file systems that somebody writes to: each is what the source was at one moment, nobody waits for long, and
// a run that dies in the middle leaves nothing frozen and nothing that looks finished.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type CloneTime, demandMoment, readLog } from '../support/live-log.js';
import { cloneLive, demandHealed, type LiveVolume, whileWriting, withLiveVolume } from '../support/live-volume.js';
import { HAS_LOOP } from '../support/loop.js';
import { SEED } from '../support/random.js';
import { copyInto, RAPID_KINDS, type RapidKind } from '../support/rapid-kinds.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const rooted = HAS_LOOP ? test : test.skip;
const KINDS = RAPID_KINDS.filter(({ name }) => name !== 'NTFS');
const RUNS = rounds({ short: 3, long: 30 });

/** A clone of one moment: sound, and with all that was done before and nothing that was begun after. */
async function demandCopy(volume: LiveVolume, copy: string, time: CloneTime): Promise<number> {
  const { kind } = volume;
  const log = readLog(join(volume.folder, 'log'));
  if (kind.name !== 'XFS') kind.check(copy);
  const proved = await kind.mounted(
    copy,
    (folder) => demandMoment(folder, log, time),
    kind.name === 'XFS' ? 'nouuid' : 'rw',
  );
  kind.check(copy); // an XFS has to replay its log first, which the freeze leaves behind
  return proved;
}

async function againAndAgain(kind: RapidKind, seed: number): Promise<void> {
  await withLiveVolume(kind, join(scratch, kind.name), async (volume) => {
    const target = join(volume.folder, 'target.img');
    const copies: { copy: string; time: CloneTime }[] = [];
    await whileWriting(volume, seed, async () => {
      for (let number = 0; number < RUNS; number += 1) {
        const { plan, result } = await cloneLive(volume, target);
        const [planned] = plan.volumes;
        assert.is(
          planned?.detect,
          number === 0 ? 'first' : number % 10 === 9 ? 'compare' : 'rapid',
          planned?.detectReason,
        );
        const copy = join(volume.folder, `copy-${number}`);
        copyInto(target, copy);
        const { last = 0, longest = 0 } = result.frozen ?? {};
        copies.push({ copy, time: { at: last, endedAt: Date.now() } });
        console.log(`${kind.name}: frozen for ${longest.toFixed(0)} ms at most, ${result.seconds.toFixed(1)} s in all`);
      }
    });
    volume.unmount();
    const counts: number[] = [];
    for (const { copy, time } of copies) {
      counts.push(await demandCopy(volume, copy, time));
      rmSync(copy);
    }
    console.log(`${kind.name}: ${counts.join(', ')} writes were done before`);
    await demandHealed(volume, target, ['rapid', 'compare']);
  });
}

for (const [index, kind] of KINDS.entries()) {
  rooted(`${kind.name}: clones of one moment, again and again`, () => againAndAgain(kind, SEED + index));
}

test.run();
