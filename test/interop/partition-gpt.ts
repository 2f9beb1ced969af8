// GPT with sgdisk, sfdisk and parted as judges: we read what they write, and they approve of what we write.

import { closeSync, copyFileSync, existsSync, openSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fitTable } from '../../src/partition/layout.js';
import { readTable } from '../../src/partition/read.js';
import type { GptTable } from '../../src/partition/table.js';
import { fileSource } from '../support/file-source.js';
import { emptyFile, imageFile, sfdiskTable, withLoop } from '../support/partition-disk.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const folder = scratchFolder();

async function read(path: string, sectorSize?: number): Promise<GptTable> {
  const source = fileSource(path, sectorSize === undefined ? {} : { sectorSize });
  try {
    const table = await readTable(source);
    if (table?.kind !== 'gpt') throw new Error(`${path}: no GPT`);
    return table;
  } finally {
    await source.close();
  }
}

/** Our reading of the table in the words of `sfdisk --json`. */
function inSfdiskWords(table: GptTable): unknown[] {
  return table.partitions.map(({ number, extent, type, id, name }) => ({
    number,
    start: extent.offset / table.sectorSize,
    size: extent.length / table.sectorSize,
    type,
    uuid: id.toUpperCase(),
    name,
  }));
}

function sfdiskWords(path: string): unknown[] {
  return (sfdiskTable(path).partitions ?? []).map(({ node, start, size, type, uuid = '', name = '' }) => ({
    number: Number(/(\d+)$/.exec(node.replace(/^\/dev\/loop\d+p/, 'p'))?.[1]),
    start,
    size,
    type,
    uuid,
    name,
  }));
}

/** The device or file must be clean for sgdisk and sfdisk. */
function approve(path: string): void {
  const verdict = run('sgdisk', ['-v', path]);
  assert.match(verdict, /No problems found/, verdict);
  assert.not.match(verdict, /(?:Caution|Warning|Problem):/i, verdict);
  const { status, stdout, stderr } = tryRun('sfdisk', ['--verify', path]);
  assert.is(status, 0, stdout + stderr);
  assert.match(stdout, /No errors detected/, stdout + stderr);
}

const SGDISK = [
  ['-n', '1:2048:+8M', '-t', '1:ef00', '-c', '1:EFI system partition'],
  ['-n', '3:0:+20M', '-t', '3:8300', '-c', '3:Wurzel – ünï', '-A', '3:set:2', '-A', '3:set:63'],
  ['-n', '7:0:+5M', '-t', '7:0700', '-A', '7:set:60'],
].flat();

/** A file of 64 MiB with the table of SGDISK; sgdisk is run once a sector size, because it sleeps after writing. */
function made(name: string, sectorSize: 512 | 4096 = 512): string {
  const original = join(folder, `made-${sectorSize}.img`);
  if (!existsSync(original)) {
    emptyFile(folder, `made-${sectorSize}.img`, 64 * MiB);
    withLoop(original, sectorSize, (device) => run('sgdisk', ['-a', '256', ...SGDISK, device]));
  }
  const path = join(folder, name);
  copyFileSync(original, path);
  return path;
}

test('what sgdisk and sfdisk wrote, for 512 and 4096 byte sectors', async () => {
  for (const sectorSize of [512, 4096] as const) {
    const path = made('read.img', sectorSize);
    const expected = withLoop(path, sectorSize, sfdiskWords);
    const table = await read(path);
    assert.is(table.sectorSize, sectorSize);
    assert.equal(table.warnings, []);
    assert.equal(inSfdiskWords(table), expected);
    assert.equal(
      table.partitions.map(({ attributes, bootable }) => [attributes, bootable]),
      [
        ['0000000000000000', false],
        ['8000000000000004', true],
        ['1000000000000000', false],
      ],
    );
  }
});

test('fitted tables are clean and say the same, for 512 and 4096 byte sectors', async () => {
  for (const sectorSize of [512, 4096] as const) {
    const table = await read(made('source.img', sectorSize), sectorSize);
    for (const size of [48 * MiB, 64 * MiB, 64 * MiB + sectorSize, 200 * MiB, 3 * 1024 * 1024 * MiB]) {
      const fitted = imageFile(folder, 'fitted.img', { ...fitTable(table, { targetSize: size, sectorSize }), size });
      withLoop(fitted, sectorSize, (device) => {
        approve(device);
        assert.equal(sfdiskWords(device), inSfdiskWords(table));
        const { id, lastlba = 0 } = sfdiskTable(device);
        assert.is(id.toLowerCase(), table.id);
        assert.is(lastlba, size / sectorSize - 2 - 16384 / sectorSize);
        assert.match(run('sgdisk', ['-i', '3', device]), /Attribute flags: 8000000000000004/);
      });
    }
    const only = imageFile(folder, 'only.img', {
      ...fitTable(table, { targetSize: 100 * MiB, sectorSize, only: [7] }),
      size: 100 * MiB,
    });
    withLoop(only, sectorSize, (device) => {
      approve(device);
      assert.equal(sfdiskWords(device), inSfdiskWords(table).slice(-1));
    });
  }
});

test('tables of other shapes: more entries, moved entries, made by parted and sfdisk', async () => {
  const makers: [string, (path: string) => void][] = [
    ['-S 256', (path) => run('sgdisk', ['-S', '256', ...SGDISK, path])],
    ['-j 1024', (path) => run('sgdisk', ['-j', '1024', ...SGDISK, path])],
    ['sfdisk', (path) => run('sfdisk', ['-q', path], { input: 'label: gpt\n,10M,U\n,5M,S\n,,L\n' })],
    ['table-length', (path) => run('sfdisk', ['-q', path], { input: 'label: gpt\ntable-length: 8\n,10M,U\n,,L\n' })],
    [
      'parted',
      (path) =>
        run('parted', ['-s', path, 'mklabel', 'gpt', 'mkpart', 'a', '1MiB', '9MiB', 'mkpart', 'b', '20MiB', '100%']),
    ],
  ];
  for (const [name, make] of makers) {
    const path = emptyFile(folder, 'shape.img', 64 * MiB);
    make(path);
    const table = await read(path, 512);
    assert.equal(table.warnings, [], name);
    assert.equal(inSfdiskWords(table), sfdiskWords(path), name);
    const size = 80 * MiB;
    const fitted = imageFile(folder, 'fitted.img', { ...fitTable(table, { targetSize: size, sectorSize: 512 }), size });
    assert.equal(sfdiskWords(fitted), sfdiskWords(path), name);
    const judged = tryRun('sfdisk', ['--verify', fitted]);
    assert.is(judged.status, 0, `${name}: ${judged.stdout}${judged.stderr}`);
    if (name !== 'table-length') assert.match(run('sgdisk', ['-v', fitted]), /No problems found/, name);
  }
});

test('damage that sgdisk sees is seen, and the fitted table is whole again', async () => {
  const damages: [number, number, string][] = [
    [512 + 20, 600, 'primary-damaged'],
    [1024 + 30, 100, 'primary-damaged'],
    [64 * MiB - 500, 200, 'backup-damaged'],
    [64 * MiB - 33 * 512 + 30, 100, 'backup-damaged'],
  ];
  for (const [offset, length, code] of damages) {
    const path = made('damaged.img');
    const sound = await read(path);
    const fd = openSync(path, 'r+');
    writeSync(fd, Buffer.alloc(length, 0x5a), 0, length, offset);
    closeSync(fd);
    const { stdout, stderr } = tryRun('sgdisk', ['-v', path]);
    assert.match(stdout + stderr, /CRCs don't match/);
    const table = await read(path);
    assert.equal(
      table.warnings.map((warning) => warning.code),
      [code],
    );
    assert.equal(table.partitions, sound.partitions);
    const size = 64 * MiB;
    const fitted = imageFile(folder, 'fitted.img', { ...fitTable(table, { targetSize: size, sectorSize: 512 }), size });
    approve(fitted);
    assert.equal((await read(fitted)).partitions, sound.partitions);
  }
});

test('an enlarged image is read, and its copy has the backup at the end', async () => {
  const path = made('enlarged.img');
  truncateSync(path, 90 * MiB);
  const table = await read(path);
  assert.equal(
    table.warnings.map(({ code }) => code),
    ['backup-not-at-end'],
  );
  const size = 90 * MiB;
  approve(imageFile(folder, 'fitted.img', { ...fitTable(table, { targetSize: size, sectorSize: 512 }), size }));
});

test('a hybrid MBR made by sgdisk stays hybrid', async () => {
  const path = made('hybrid.img');
  run('sgdisk', ['-h', '1:3', path]);
  const table = await read(path);
  assert.equal(
    table.warnings.map(({ code }) => code),
    ['hybrid-mbr'],
  );
  const size = 80 * MiB;
  const fitted = imageFile(folder, 'fitted.img', { ...fitTable(table, { targetSize: size, sectorSize: 512 }), size });
  const printed = (file: string): string => run('sgdisk', ['-O', file]).replace(/^.*Disk.*$/gm, '');
  assert.match(run('sgdisk', ['-p', '-v', fitted]), /No problems found/);
  assert.is(printed(fitted).split('Number')[1], printed(path).split('Number')[1]);
});

test.run();
