// The list of changes of an overlay: what is written is read back, and a list that does not fit is refused when it is
// opened, not when it is read.

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openSource, openTarget } from '../../src/source/open.js';
import { type Change, saveChanges } from '../../src/source/overlay.js';
import type { SourceSpec } from '../../src/source/types.js';
import { thrownBy } from '../support/partition-disk.js';
import { scratchFolder } from '../support/scratch.js';

const folder = scratchFolder();
const SIZE = 4000;
const base = join(folder, 'base');
const file = join(folder, 'changed');
const list = join(folder, 'list');
writeFileSync(base, Buffer.alloc(3000, 'b'));
writeFileSync(file, Buffer.alloc(1000, 'c'));

function overlay(changes: readonly Change[], name = 'changed'): SourceSpec {
  saveChanges(list, name, changes);
  return { kind: 'overlay', base: { kind: 'file', path: base }, changes: list, size: SIZE };
}

async function refused(spec: SourceSpec, reason: RegExp): Promise<void> {
  const error = await thrownBy(async () => openSource(spec));
  assert.is((error as { code?: string }).code, 'device.overlay-damaged', String(error));
  assert.match(String(error), reason);
}

test('base, changes, zeros, and zeros behind the base', async () => {
  const source = openSource(
    overlay([
      { offset: 10, length: 20, place: 5 },
      { offset: 30, length: 5, place: undefined },
      { offset: 2990, length: 20, place: 0 },
      { offset: 3999, length: 1, place: 999 },
    ]),
  );
  const bytes = Buffer.alloc(SIZE);
  await source.read(bytes, 0);
  const wanted = Buffer.alloc(SIZE).fill('b', 0, 3000).fill('c', 10, 30).fill(0, 30, 35).fill('c', 2990, 3010);
  wanted.fill('c', 3999);
  assert.ok(bytes.equals(wanted));
  const kinds: string[] = [];
  for await (const { offset, length, kind } of source.extents?.({ offset: 20, length: 3000 }) ?? []) {
    kinds.push(`${kind} ${offset}+${length}`);
  }
  assert.equal(kinds, ['data 20+10', 'zero 30+5', 'data 35+2955', 'data 2990+20', 'zero 3010+10']);
  await source.close();
});

test('an empty list is the base, cut off or followed by zeros', async () => {
  const source = openSource({ ...overlay([]), size: 2000 } as SourceSpec);
  assert.is(source.size, 2000);
  const bytes = Buffer.alloc(2000);
  await source.read(bytes, 0);
  assert.ok(bytes.equals(Buffer.alloc(2000, 'b')));
  await source.close();
});

test('lists that do not fit', async () => {
  const change = { offset: 100, length: 100, place: 0 };
  await refused(overlay([{ ...change, place: 901 }]), /its file is cut off/);
  await refused(overlay([{ ...change, length: 0 }]), /do not fit/);
  await refused(overlay([{ ...change, offset: SIZE - 99 }]), /do not fit/);
  await refused(overlay([change, { ...change, offset: 199 }]), /do not fit/);
  await refused(overlay([change], '../changed'), /names no file beside it/);
  await refused(overlay([change], ''), /names no file beside it/);
});

test('lists that are damaged: every bit, every length', async () => {
  const spec = overlay([
    { offset: 100, length: 100, place: 0 },
    { offset: 300, length: 100, place: undefined },
  ]);
  const good = readFileSync(list);
  for (let bit = 0; bit < good.length * 8; bit += 1) {
    const bad = Buffer.from(good);
    bad.writeUInt8(bad.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    writeFileSync(list, bad);
    // It reads inside its files, or an error of ours says why not.
    const error = await thrownBy(async () => {
      const source = openSource(spec);
      await source.read(Buffer.alloc(SIZE), 0);
      await source.close();
    });
    if (error) assert.match(String((error as { code?: string }).code), /^device\.(overlay-damaged|cannot-open)$/);
  }
  for (let length = 0; length < good.length; length += 1) {
    writeFileSync(list, good);
    truncateSync(list, length);
    await refused(spec, /something else|another length/);
  }
});

test('an overlay is no target', async () => {
  const error = await thrownBy(async () => openTarget(overlay([])));
  assert.match(String(error), /internal error: an overlay is only read/);
});

test.run();
