// What a run leaves unread on NTFS by the files' records is what it was, whatever was done to the files between.
// The work goes through ntfs-3g; Windows was not seen. See src/filesystem/ntfs/records.ts.

import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import { clip, type Extent, normalise, totalLength } from '../../src/map/extent.js';
import { fileSource } from '../support/file-source.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { fragmentFiles, openNtfsWorkload } from '../support/ntfs-workload.js';
import { type Random, randomFrom, SEED } from '../support/random.js';
import { assertUnchanged, type Scan, scanRecords, unreadExtents } from '../support/record-scan.js';
import { run } from '../support/run.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';
import { ALL, Workload } from '../support/workload.js';

const ROUNDS = Number(process.env['ECTYPE_RAPID_ROUNDS'] ?? rounds({ short: 25, long: 200 }));
/** A volume ages; after so many rounds there is a new one. */
const VOLUME_ROUNDS = 25;
/** Older scans that one is compared with. */
const KEPT = 3;
const OLD_MS = 2200;
const CAN = { ...ALL, fallocate: false, punch: false, shift: false, reflink: false, permissions: false, xattr: false };

const scratch = scratchFolder();
const image = join(scratch, 'volume');

interface Moment {
  readonly round: number;
  readonly path: string;
  readonly scan: Scan;
}

/** A volume through its rounds. */
interface Life {
  readonly random: Random;
  readonly workload: Workload;
  readonly special: ReturnType<typeof openNtfsWorkload>;
  moments: Moment[];
  /** The last round in which reading a file changed its record. */
  markedBy: number;
  unread: number;
  solid: number;
}

async function begin(seed: number): Promise<Life> {
  const random = randomFrom(seed);
  const clusterSize = random.pick([512, 1024, 4096]);
  makeNtfs(image, { size: 40 * MiB, clusterSize });
  const workload = new Workload(random, { can: CAN, room: 12 * MiB });
  const special = openNtfsWorkload(random);
  const life: Life = { random, workload, special, moments: [], markedBy: 0, unread: 0, solid: 0 };
  const options = `${OPTIONS},noatime`;
  await withNtfsMounted(image, (folder) => fragmentFiles(folder, random, clusterSize), { options });
  await change(life, { options, streamsAs: 'xattr', count: 120 });
  await sleep(OLD_MS);
  life.moments = [await keep(0)];
  return life;
}

const OPTIONS = 'rw,compression,streams_interface=xattr';

async function change(
  { random, workload, special }: Life,
  { options, streamsAs, count }: { options: string; streamsAs: 'xattr' | 'windows'; count: number },
): Promise<void> {
  const work = (folder: string): void => {
    workload.work(folder, count);
    for (let times = random.between(1, 3); times > 0; times -= 1) special.work(folder, streamsAs);
  };
  await withNtfsMounted(image, work, { options });
}

async function keep(round: number): Promise<Moment> {
  const path = join(scratch, `then-${round}`);
  run('cp', ['--sparse=always', '--reflink=never', image, path]);
  const source = fileSource(path);
  const scan = await scanRecords(ntfs, source);
  await source.close();
  return { round, path, scan };
}

async function round(life: Life, index: number): Promise<void> {
  const { random } = life;
  const streamsAs = random.pick(['xattr', 'xattr', 'windows'] as const);
  const times = random.pick(['noatime', 'noatime', 'noatime', 'noatime,delay_mtime', 'atime']);
  if (times === 'atime') life.markedBy = index;
  const size = random.pick(['', ',big_writes', ',big_writes']);
  const options = `rw,compression,streams_interface=${streamsAs},${times}${size}`;
  await change(life, { options, streamsAs, count: random.between(1, 12) });
  const now = await keep(index);
  const then = random.pick(life.moments);
  const unread = unreadExtents(then.scan, now.scan);
  const [before, after] = [fileSource(then.path), fileSource(now.path)];
  try {
    await assertUnchanged(unread, before, after);
  } finally {
    await Promise.all([before.close(), after.close()]);
  }
  if (then.round >= life.markedBy) await count(life, { then, now, unread });
  life.moments.push(now);
  for (const { path } of life.moments.splice(0, life.moments.length - KEPT)) rmSync(path);
}

/** How much of what nobody touched is unread. Files with holes are read always. */
async function count(
  life: Life,
  { then, now, unread }: { then: Moment; now: Moment; unread: readonly Extent[] },
): Promise<void> {
  const sorted = normalise(unread);
  const look = (folder: string): void => {
    for (const { paths, touchedAt } of life.workload.files) {
      const { ino, size, blocks } = statSync(join(folder, paths[0] ?? ''));
      if (touchedAt > then.scan.at - OLD_MS || blocks * 512 < size || size < 2048) continue;
      const extents = now.scan.records.get(ino)?.extents ?? [];
      life.solid += size;
      life.unread += Math.min(size, totalLength(extents.flatMap((extent) => [...clip(sorted, extent)])));
    }
  };
  await withNtfsMounted(image, look, { options: 'ro' });
}

test(`${ROUNDS} rounds of work: what is left unread is what it was`, async () => {
  const done = { unread: 0, solid: 0, ended: 0 };
  for (let index = 0; index < ROUNDS; ) {
    const seed = SEED + index;
    const life = await begin(seed);
    for (const end = Math.min(ROUNDS, index + VOLUME_ROUNDS); index < end; index += 1) {
      try {
        await round(life, index + 1);
      } catch (error) {
        throw new Error(
          `round ${index} of the volume of seed ${seed}: ${error instanceof Error ? error.stack : error}`,
          { cause: error },
        );
      }
    }
    done.unread += life.unread;
    done.solid += life.solid;
    done.ended += life.special.ended;
    for (const { path } of life.moments) rmSync(path);
  }
  console.log(`${done.unread} of ${done.solid} bytes of untouched files unread, ${done.ended} writes on a full disk`);
  assert.ok(done.unread > done.solid * 0.8 && done.solid > 0, 'the method is worth something');
});

test.run();
