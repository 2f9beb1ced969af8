// The marker: believed only whole, noticed in any part. And the lock that ends with its process.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { memoryTarget } from '../../src/source/memory.js';
import { lockTarget } from '../../src/state/lock.js';
import { ARMED_HEAD_LENGTH, armedExtents, looksArmed, readMarker, writeMarker } from '../../src/state/marker.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { scratchFolder } from '../support/scratch.js';

const KiB = 1024;
const SIZE = 1024 * KiB;
const RUN = '0123456789ABCDEF';
const random = randomFrom(SEED);

test('covers the head, and the last sector of whole disks', () => {
  const head = { offset: 0, length: ARMED_HEAD_LENGTH };
  assert.equal(armedExtents(SIZE, { tail: false, sectorSize: 512 }), [head]);
  assert.equal(armedExtents(SIZE, { tail: true, sectorSize: 512 }), [head, { offset: SIZE - 512, length: 512 }]);
  assert.equal(armedExtents(SIZE, { tail: true, sectorSize: 4096 }), [head, { offset: SIZE - 4096, length: 4096 }]);
  assert.equal(armedExtents(ARMED_HEAD_LENGTH, { tail: true, sectorSize: 512 }), [head]);
  assert.equal(armedExtents(1700, { tail: true, sectorSize: 512 }), [{ offset: 0, length: 1536 }]);
  assert.equal(armedExtents(100, { tail: false, sectorSize: 512 }), [{ offset: 0, length: 0 }]);
});

test('is read back with its run, and replaces nothing else', async () => {
  for (const sectorSize of [512, 4096]) {
    for (const size of [SIZE, SIZE + 77, ARMED_HEAD_LENGTH, 1536]) {
      const bytes = random.bytes(size);
      const before = Buffer.from(bytes);
      const disk = memoryTarget(bytes);
      const armed = armedExtents(size, { tail: true, sectorSize });
      assert.is(await readMarker(disk, armed), undefined);
      assert.is(await looksArmed(disk), false);
      await writeMarker(disk, RUN, armed);
      assert.equal(await readMarker(disk, armed), new Set([RUN]));
      assert.is(await looksArmed(disk), true);
      for (const { offset, length } of armed) before.copy(bytes, offset, offset, offset + length);
      assert.ok(bytes.equals(before));
    }
  }
});

test('a marker of which any sector is missing names no run, but shows', async () => {
  const armed = armedExtents(SIZE, { tail: true, sectorSize: 512 });
  const sectors = armed.flatMap(({ offset, length }) =>
    Array.from({ length: length / 512 }, (_, index) => offset + index * 512),
  );
  const bytes = random.bytes(SIZE);
  await writeMarker(memoryTarget(bytes), RUN, armed);
  for (const lost of [0, 512, 1024, 4096, ARMED_HEAD_LENGTH - 512, SIZE - 512]) {
    const torn = Buffer.from(bytes);
    random.bytes(512).copy(torn, lost);
    assert.is(await readMarker(memoryTarget(torn), armed), undefined, `without sector ${lost}`);
    assert.is(await looksArmed(memoryTarget(torn)), true, `without sector ${lost}`);
  }
  for (const left of [0, 512, 65536, ARMED_HEAD_LENGTH - 512, SIZE - 512]) {
    const torn = Buffer.from(bytes);
    for (const sector of sectors) if (sector !== left) random.bytes(512).copy(torn, sector);
    assert.is(await looksArmed(memoryTarget(torn)), true, `sector ${left} is left`);
  }
});

test('sectors of two runs name both; a sector in a wrong place is none', async () => {
  const armed = armedExtents(SIZE, { tail: true, sectorSize: 512 });
  const bytes = Buffer.alloc(SIZE);
  const other = Buffer.alloc(SIZE);
  await writeMarker(memoryTarget(bytes), RUN, armed);
  await writeMarker(memoryTarget(other), 'FEDCBA9876543210', armed);
  other.copy(bytes, 8192, 8192, 8704);
  assert.equal(await readMarker(memoryTarget(bytes), armed), new Set([RUN, 'FEDCBA9876543210']));
  const copied = Buffer.alloc(SIZE);
  other.copy(copied, 0, 512, 1024);
  assert.is(await looksArmed(memoryTarget(copied)), false);
});

test('a target that does not keep the marker is refused', async () => {
  const bytes = Buffer.alloc(SIZE);
  const disk = memoryTarget(bytes);
  const wrapping = { ...disk, write: (from: Buffer, offset: number) => disk.write(from, offset % (256 * KiB)) };
  const armed = armedExtents(SIZE, { tail: true, sectorSize: 512 });
  const error = await thrownBy(() => writeMarker(wrapping, RUN, armed));
  assert.ok(error instanceof ToolError && error.code === 'device.read-back-differs', String(error));
});

test('the lock refuses a second run and ends with its process, however that ends', async () => {
  const folder = join(scratchFolder(), 'locked');
  mkdirSync(folder);
  const unlock = lockTarget(folder, '/dev/sdz');
  assert.throws(() => lockTarget(folder, '/dev/sdz'), /another run is writing to \/dev\/sdz/);
  unlock();
  const url = new URL('../../src/state/lock.js', import.meta.url).href;
  const code = `const { lockTarget } = await import('${url}'); lockTarget(${JSON.stringify(folder)}, 'x'); console.log('locked'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  const error = await thrownBy(() => lockTarget(folder, '/dev/sdz'));
  assert.ok(error instanceof ToolError && error.exitStatus === 3, String(error));
  child.kill('SIGKILL');
  await once(child, 'close');
  lockTarget(folder, '/dev/sdz')();
});

test.run();
