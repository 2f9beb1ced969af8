// MBR with sfdisk, parted and blkid as judges: we read what they write, and they approve of what we write.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fitTable } from '../../src/partition/layout.js';
import { readTable } from '../../src/partition/read.js';
import type { MbrTable } from '../../src/partition/table.js';
import { fileSource } from '../support/file-source.js';
import { emptyFile, imageFile, sfdiskTable, withLoop } from '../support/partition-disk.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const folder = scratchFolder();

const CHAINED = [
  'label: dos',
  'label-id: 0x1234abcd',
  ', 10M, c, *',
  ', 60M, f',
  ', 5M, 7',
  'start=, size=10M, type=83',
  ', 6M, 82',
  ', 7M, 83',
  ', 8M, 8e',
].join('\n');

async function read(path: string, sectorSize?: number): Promise<MbrTable> {
  const source = fileSource(path, sectorSize === undefined ? {} : { sectorSize });
  try {
    const table = await readTable(source);
    if (table?.kind !== 'mbr') throw new Error(`${path}: no MBR`);
    return table;
  } finally {
    await source.close();
  }
}

function inSfdiskWords(table: MbrTable): unknown[] {
  return table.partitions.map(({ number, extent, type, bootable }) => ({
    number,
    start: extent.offset / table.sectorSize,
    size: extent.length / table.sectorSize,
    type: Number(type),
    bootable,
  }));
}

/** Without the extended partition, which is no volume. */
function sfdiskWords(path: string): unknown[] {
  return (sfdiskTable(path).partitions ?? [])
    .map(({ node, start, size, type, bootable = false }) => ({
      number: Number(/(\d+)$/.exec(node.replace(/^\/dev\/loop\d+p/, 'p'))?.[1]),
      start,
      size,
      type: Number.parseInt(type, 16),
      bootable,
    }))
    .filter(({ type }) => ![0x05, 0x0f, 0x85].includes(type));
}

function approve(path: string): void {
  const { status, stdout, stderr } = tryRun('sfdisk', ['--verify', path]);
  assert.is(status, 0, stdout + stderr);
  assert.not.match(stdout + stderr, /invalid|omitting|overlap|outside|error[^s]/i, stdout + stderr);
}

test('chains of sfdisk, whole and in part, for 512 and 4096 byte sectors', async () => {
  for (const sectorSize of [512, 4096]) {
    const path = emptyFile(folder, `chain-${sectorSize}.img`, 128 * MiB);
    const expected = withLoop(path, sectorSize, (device) => {
      run('sfdisk', ['-q', '--no-reread', '--no-tell-kernel', device], { input: CHAINED });
      return sfdiskWords(device);
    });
    const table = await read(path, sectorSize);
    assert.equal(inSfdiskWords(table), expected);
    assert.is(table.id, '1234abcd');
    assert.is(table.partitions.filter(({ role }) => role === 'logical').length, 3);
    const numbers = table.partitions.map(({ number }) => number);
    const choices = [undefined, numbers, numbers.slice(0, -1), [...numbers.slice(0, 2), 5, 7], [5], [1]];
    for (const only of choices) {
      const size = only === undefined ? 300 * MiB : 100 * MiB;
      const image = fitTable(table, { targetSize: size, sectorSize, only });
      const fitted = imageFile(folder, 'fitted.img', { ...image, size });
      withLoop(fitted, sectorSize, (device) => {
        approve(device);
        const written = { ...table, partitions: image.partitions };
        assert.equal(sfdiskWords(device), inSfdiskWords(written), `only ${only}`);
      });
      assert.equal(
        (await read(fitted, sectorSize)).partitions,
        image.partitions.map(({ sourceNumber, ...partition }) => partition),
      );
    }
  }
});

test('dropping the first logical partition is understood by sfdisk, parted and blkid', async () => {
  const path = emptyFile(folder, 'first.img', 128 * MiB);
  run('sfdisk', ['-q', path], { input: CHAINED });
  const table = await read(path);
  const size = 128 * MiB;
  const image = fitTable(table, { targetSize: size, sectorSize: 512, only: [1, 6, 7] });
  const fitted = imageFile(folder, 'fitted.img', { ...image, size });
  const starts = image.partitions.map(({ extent }) => extent.offset);
  assert.equal(
    sfdiskWords(fitted).map((words) => (words as { start: number }).start * 512),
    starts,
  );
  const parted = run('parted', ['-s', '-m', fitted, 'unit', 'B', 'print'])
    .split('\n')
    .filter((line) => /^\d+:/.test(line) && !/^2:/.test(line))
    .map((line) => Number.parseInt(line.split(':')[1] ?? '', 10));
  assert.equal(parted, starts);
  withLoop(fitted, 512, (device) => {
    run('partx', ['-s', device]);
    const seen = run('partx', ['-g', '-b', '-o', 'NR,START,UUID', device])
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([number]) => number !== '2');
    assert.equal(
      seen,
      image.partitions.map(({ number, extent, id }) => [String(number), String(extent.offset / 512), id]),
    );
  });
});

test('what parted wrote', async () => {
  const path = emptyFile(folder, 'parted.img', 128 * MiB);
  run('parted', [
    ...['-s', path, 'mklabel', 'msdos', 'mkpart', 'primary', 'fat32', '1MiB', '9MiB'],
    ...['mkpart', 'extended', '10MiB', '100MiB', 'mkpart', 'logical', '60MiB', '80MiB'],
    ...['mkpart', 'logical', '11MiB', '30MiB', 'mkpart', 'logical', '31MiB', '59MiB'],
  ]);
  const table = await read(path);
  assert.equal(inSfdiskWords(table), sfdiskWords(path));
  const size = 128 * MiB + 512;
  const fitted = imageFile(folder, 'fitted.img', { ...fitTable(table, { targetSize: size, sectorSize: 512 }), size });
  approve(fitted);
  assert.equal(sfdiskWords(fitted), sfdiskWords(path));
});

test.run();
