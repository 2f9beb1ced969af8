// Encrypted volumes, and members of LVM and RAID, through the command line: copied whole, byte for byte, every time.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { oldFile, sha256 } from '../support/clone-judge.js';
import { addLvmLabel, addRaid } from '../support/containers.js';
import { type Ectype, ectypeIn } from '../support/ectype-cli.js';
import { randomFrom, SEED } from '../support/random.js';
import { tryRun } from '../support/run.js';
import { emptyFile, putBytes } from '../support/sample-disk.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const random = randomFrom(SEED);
const SIZE = 32 * MiB;

function cryptsetup(input: string, ...args: string[]): number {
  return tryRun('cryptsetup', ['--batch-mode', '--key-file', '-', ...args], { input }).status;
}

const opens = (image: string, key: string): boolean => cryptsetup(key, 'open', '--test-passphrase', image) === 0;

/** Cloned, nothing left to do, source untouched. */
function cloned(ectype: Ectype, source: string, target: string, ...options: string[]): void {
  const before = sha256(source);
  const [volume] = ectype.clone(source, target, ...options).plan.volumes;
  assert.equal([volume?.method, volume?.used], ['whole', SIZE]);
  assert.is(sha256(source), before, 'the source is what it was');
  assert.is(sha256(target, { offset: 0, length: SIZE }), before, 'byte for byte');
  assert.not.ok(ectype.clone(source, target).changed, 'a run without changes writes nothing');
}

for (const type of ['luks1', 'luks2'] as const) {
  test(`${type}: the passphrases of the source open the clone, after a change those of then`, () => {
    const source = emptyFile(join(scratch, `${type}.img`), SIZE);
    const pbkdf = ['--pbkdf-force-iterations', '1000', ...(type === 'luks2' ? ['--pbkdf', 'pbkdf2'] : [])];
    assert.is(cryptsetup('first', 'luksFormat', '--type', type, ...pbkdf, source), 0);
    putBytes(source, random.bytes(8 * MiB), 20 * MiB);
    const target = oldFile(join(scratch, `${type}.target`), SIZE + 3 * MiB);
    const ectype = ectypeIn(join(scratch, type));
    cloned(ectype, source, target, '--overwrite-target', target);
    assert.ok(opens(target, 'first') && !opens(target, 'second'));

    const key = join(scratch, 'second');
    writeFileSync(key, 'second');
    assert.is(cryptsetup('first', 'luksAddKey', ...pbkdf, source, key), 0);
    putBytes(source, random.bytes(5000), 24 * MiB + 77);
    cloned(ectype, source, target);
    assert.ok(opens(target, 'first') && opens(target, 'second'));
  });
}

const MEMBERS: Record<string, (bytes: Buffer) => void> = {
  'an LVM physical volume': (bytes) => addLvmLabel(bytes),
  'a member of a RAID 1.2': (bytes) => addRaid(bytes, '1.2', random),
  'a member of a RAID 0.90': (bytes) => addRaid(bytes, '0.90', random),
};

for (const [name, plant] of Object.entries(MEMBERS)) {
  test(name, () => {
    const bytes = random.bytes(SIZE).fill(0, 0, 8192);
    plant(bytes);
    const source = join(scratch, `${name}.img`);
    writeFileSync(source, bytes);
    const target = oldFile(join(scratch, `${name}.target`), SIZE);
    const ectype = ectypeIn(join(scratch, name));
    cloned(ectype, source, target, '--overwrite-target', target);
    putBytes(source, random.bytes(100), SIZE / 2);
    cloned(ectype, source, target);
  });
}

test.run();
