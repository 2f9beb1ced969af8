// Thousands of damaged F2FS volumes: each is refused or read, none crashes, hangs or eats memory.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { f2fs } from '../../src/filesystem/f2fs/plugin.js';
import { askEverything, damage } from '../support/damage.js';
import { f2fsCrc, f2fsLayout, fillF2fs, makeF2fs, sealF2fs } from '../support/f2fs-volume.js';
import { manyRounds } from '../support/many-rounds.js';
import { randomFrom, SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const BLOCK = 4096;
const ROUNDS = rounds({ short: 1000, long: 20_000 });
const scratch = scratchFolder();
const random = randomFrom(SEED);

for (const { name, options } of [
  { name: 'plain', options: ['-O', 'extra_attr,sb_checksum'] },
  { name: 'large bitmap of nodes', options: ['-i', '-O', 'extra_attr,sb_checksum'] },
]) {
  const image = join(scratch, name);
  makeF2fs(image, { size: 112 * MiB, options });
  if (name === 'plain') {
    mkdirSync(`${image}-tree`);
    fillF2fs(image, `${image}-tree`, random, { budget: 2 * MiB });
  }
  const bytes = readFileSync(image);
  const { head, foot, sit, summary } = f2fsLayout(bytes);
  const whole = [1024, head, foot].map((at) => ({ at, saved: Buffer.from(bytes.subarray(at, at + BLOCK)) }));

  test(`${name}: the undamaged volume is read`, async () => {
    assert.equal(await askEverything(f2fs, bytes), { recognised: true, mapped: true, tokened: true });
  });

  test(`${name}: ${ROUNDS} damaged volumes`, async () => {
    let unusual = 0;
    await manyRounds(name, ROUNDS, async () => {
      const offset = random.pick([1024, head, head, sit, summary, summary + 507, summary + 2 * BLOCK + 3584]);
      const repair = damage(bytes, offset, offset === 1024 ? 128 : offset === head ? 220 : 400, random);
      if (random.chance(0.9)) {
        if (offset === 1024) bytes.writeUInt32LE(f2fsCrc(bytes.subarray(1024, 4092)), 4092);
        else if (offset === head) reseal(bytes, head, foot);
      }
      try {
        const outcome = await askEverything(f2fs, bytes);
        if (!outcome.mapped) unusual += 1;
      } finally {
        repair();
        for (const { at, saved } of whole) saved.copy(bytes, at);
      }
    });
    console.log(`${unusual} of ${ROUNDS} refused`);
    assert.ok(unusual > ROUNDS / 50 && unusual < ROUNDS);
  });
}

/** Where the damage left a pack with a place for its last block. */
function reseal(bytes: Buffer, head: number, foot: number): void {
  const at = bytes.readUInt32LE(head + 164);
  if (at >= 192 && at <= 4092 && f2fsLayout(bytes).head === head && f2fsLayout(bytes).foot === foot) sealF2fs(bytes);
}

test.run();
