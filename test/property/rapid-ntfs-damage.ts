// Damaged NTFS volumes asked for their records: each is refused or told, in bounded time, and never with another error.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { ntfs } from '../../src/filesystem/ntfs/plugin.js';
import { extentEnd } from '../../src/map/extent.js';
import { boundedSource, damage } from '../support/damage.js';
import { manyRounds } from '../support/many-rounds.js';
import { withNtfsMounted } from '../support/ntfs-mount.js';
import { makeNtfs } from '../support/ntfs-volume.js';
import { fragmentFiles } from '../support/ntfs-workload.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const ROUNDS = rounds({ short: 200, long: 20_000 });
const RECORD = 1024;

const image = join(scratchFolder(), 'ntfs');
const random = randomFrom(SEED);
makeNtfs(image, { size: 10 * MiB, clusterSize: 1024 });
await withNtfsMounted(image, (folder) => fragmentFiles(folder, random, 1024));
const bytes = readFileSync(image);

/** Boot sector, records of the system, of files, and of their extensions, index blocks. */
function places(): { system: number[]; files: number[]; extensions: number[] } {
  const found = { system: [0], files: [] as number[], extensions: [] as number[] };
  for (let offset = 0; offset < bytes.length; offset += RECORD) {
    const magic = bytes.toString('latin1', offset, offset + 4);
    if (magic === 'INDX' && bytes.readUInt32LE(offset + 16) === 0) found.system.push(offset);
    if (magic !== 'FILE') continue;
    if (bytes.readUInt32LE(offset + 44) < 24) found.system.push(offset);
    else (bytes.readUIntLE(offset + 32, 6) > 0 ? found.extensions : found.files).push(offset);
  }
  return found;
}

/** How many records are told; undefined: refused. Throws what is no FormatError. */
async function told(): Promise<number | undefined> {
  const volume = boundedSource(bytes);
  try {
    const info = await ntfs.probe(volume);
    if (!info || !ntfs.records) return undefined;
    let [count, last] = [0, -1];
    for await (const group of ntfs.records(volume, info)) {
      const { records } = await group.read();
      for (const { id, digest, extents, changedAt } of records) {
        if (id <= last || digest.length !== 16 || Number.isNaN(changedAt)) throw new Error(`record ${id}`);
        if (extents.some((each) => each.length <= 0 || each.offset < 0 || extentEnd(each) > volume.size)) {
          throw new Error(`extents of record ${id}`);
        }
        last = id;
        count += 1;
      }
    }
    return count;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

test(`${ROUNDS} damaged volumes`, async () => {
  const { system, files, extensions } = places();
  const spread = files.filter((at) => bytes.indexOf(Buffer.from([0x20, 0, 0, 0]), at) < at + 200);
  assert.ok(spread.length > 0 && extensions.length > 0);
  const sound = (await told()) ?? 0;
  assert.ok(sound > 500, `${sound} records`);
  const outcomes = { refused: 0, fewer: 0, same: 0 };
  await manyRounds('NTFS records', ROUNDS, async () => {
    const offset = random.pick(random.pick([system, files, spread, extensions]));
    const repair = damage(bytes, offset, offset === 0 ? 90 : RECORD, random);
    try {
      const count = await told();
      outcomes[count === undefined ? 'refused' : count < sound ? 'fewer' : 'same'] += 1;
    } finally {
      repair();
    }
  });
  console.log(JSON.stringify(outcomes));
  assert.ok(outcomes.refused > 0 && outcomes.fewer > 0 && outcomes.same > 0);
});

test.run();
