// A disk in use whose volumes go to other places: what is not mounted comes with the boot sectors of its new place.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { readAt } from '../support/disk-builder.js';
import { ectypeIn } from '../support/ectype-cli.js';
import { mounted } from '../support/ext4-image.js';
import { randomFrom, SEED } from '../support/random.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const SECTOR = 512;
/** Before the first place that a GPT leaves to partitions. */
const FAT = { start: 8, sectors: 65_536 } as const;
const EXT4 = { start: 98_304, sectors: 131_072 } as const;
const HIDDEN_SECTORS_AT = 28;

function makeDisk(path: string): void {
  run('truncate', ['-s', String(120 * MiB), path]);
  const lines = [
    `start=${FAT.start}, size=${FAT.sectors}, type=6`,
    `start=${EXT4.start}, size=${EXT4.sectors}, type=83`,
  ];
  run('sfdisk', ['-q', path], { input: `label: dos\n${lines.join('\n')}\n` });
  run('mkfs.fat', ['-F', '16', '-h', String(FAT.start), '--offset', String(FAT.start), path, String(FAT.sectors / 2)]);
  run('mke2fs', ['-q', '-F', '-t', 'ext4', '-E', `offset=${EXT4.start * SECTOR}`, path, `${EXT4.sectors / 2}k`]);
}

test('a FAT that moves knows its place, and is copied once', () => {
  const [source, target] = ['source.img', 'target.img'].map((name) => join(scratch, name)) as [string, string];
  makeDisk(source);
  run('truncate', ['-s', String(140 * MiB), target]);
  const content = randomFrom(SEED).bytes(2 * MiB);
  const ectype = ectypeIn(scratch);
  const where = `offset=${EXT4.start * SECTOR},sizelimit=${EXT4.sectors * SECTOR}`;
  const { plan, frozen } = mounted(
    source,
    (folder) => {
      writeFileSync(join(folder, 'file'), content);
      return ectype.clone(source, target, '--live', '--table', 'gpt');
    },
    where,
  );
  assert.ok(plan.live && frozen, 'it was in use');
  const start = (plan.volumes[0]?.target.offset ?? 0) / SECTOR;
  assert.ok(start > FAT.start, 'it moves');
  assert.is(readAt(target, start * SECTOR, SECTOR).readUInt32LE(HIDDEN_SECTORS_AT), start);
  const kept = mounted(target, (folder) => readFileSync(join(folder, 'file')), where);
  assert.ok(kept.equals(content));
  const again = mounted(source, () => ectype.clone(source, target, '--live', '--table', 'gpt'), where);
  assert.is(again.volumes[0]?.written, 0, 'the next run finds the FAT as it is');
});

test.run();
