// Tables whose partitions moved, with sgdisk, sfdisk, partx and parted as judges, for sectors of 512 and 4096 bytes.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Extent } from '../../src/map/extent.js';
import { fitTable } from '../../src/partition/layout.js';
import { convertToGpt } from '../../src/partition/mbr-to-gpt.js';
import { readTable } from '../../src/partition/read.js';
import type { MbrTable, PartitionTable, TableImage } from '../../src/partition/table.js';
import { fileSource } from '../support/file-source.js';
import { withoutSource } from '../support/mbr-disk.js';
import { emptyFile, imageFile, sfdiskTable, withLoop } from '../support/partition-disk.js';
import { run, tryRun } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const MiB = 1 << 20;
const SECTORS = [512, 4096] as const;
const folder = scratchFolder();

const GPT = ['size=8M, type=U, name="EFI system"', 'size=20M, type=L', 'size=5M, type=S'].join('\n');
/** sgdisk warns of unused room before the first usable sector. */
function gptFor(sectorSize: number): string {
  return `label: gpt\nfirst-lba: ${sectorSize === 512 ? 34 : 6}\n${GPT}`;
}

const DOS = [
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

async function read(path: string, sectorSize: number): Promise<PartitionTable> {
  const source = fileSource(path, { sectorSize });
  try {
    const table = await readTable(source);
    if (!table) throw new Error(`${path}: no table`);
    return table;
  } finally {
    await source.close();
  }
}

async function made(script: string, sectorSize: number): Promise<PartitionTable> {
  const path = emptyFile(folder, `made-${sectorSize}.img`, 128 * MiB);
  withLoop(path, sectorSize, (device) => {
    run('sfdisk', ['-q', '--no-reread', '--no-tell-kernel', device], { input: `${script}\n` });
  });
  return read(path, sectorSize);
}

/** Offset and length in MiB by partition. */
type Places = Readonly<Record<number, [number, number]>>;

function placesOf(places: Places): Map<number, Extent> {
  return new Map(
    Object.entries(places).map(([number, [offset, length]]) => [
      Number(number),
      { offset: offset * MiB, length: length * MiB },
    ]),
  );
}

/** Number, start, size and type of the partitions as the device shows them to sfdisk and to partx, which must agree. */
function seen(device: string): unknown[] {
  const { status, stdout, stderr } = tryRun('sfdisk', ['--verify', device]);
  assert.is(status, 0, stdout + stderr);
  assert.not.match(stdout + stderr, /invalid|omitting|overlap|outside|error[^s]/i, stdout + stderr);
  const parts = (sfdiskTable(device).partitions ?? []).map(({ node, start, size, type }) => ({
    number: Number(/p?(\d+)$/.exec(node.replace(device, ''))?.[1]),
    start,
    size,
    type: type.length > 4 ? type : `0x${type.padStart(2, '0')}`,
  }));
  // partx counts in sectors of 512 bytes, whatever those of the device.
  const unit = Number(run('blockdev', ['--getss', device])) / 512;
  const shown = run('partx', ['--show', '--noheadings', '--bytes', '--output', 'NR,START,SIZE', device])
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  const isExtended = ({ type }: { type: string }) => ['0x05', '0x0f'].includes(type);
  for (const part of parts.filter((one) => !isExtended(one))) {
    const [, start = 0, size] = shown.find(([number]) => number === part.number) ?? [];
    assert.ok(start === part.start || start === part.start * unit, `partx: ${part.number} starts at ${start}`);
    assert.is(size, part.size * unit * 512);
  }
  return parts.filter((one) => !isExtended(one));
}

function told({ partitions }: TableImage, sectorSize: number): unknown[] {
  return partitions.map(({ number, extent, type }) => ({
    number,
    start: extent.offset / sectorSize,
    size: extent.length / sectorSize,
    type,
  }));
}

async function judge(image: TableImage, { size, sectorSize }: { size: number; sectorSize: number }): Promise<void> {
  const path = imageFile(folder, 'fitted.img', { ...image, size });
  const table = await read(path, sectorSize);
  assert.equal(table.warnings, []);
  assert.equal(table.partitions, withoutSource(image.partitions));
  withLoop(path, sectorSize, (device) => {
    assert.equal(seen(device), told(image, sectorSize));
    if (table.kind === 'gpt') {
      const verdict = run('sgdisk', ['-v', device]);
      assert.match(verdict, /No problems found/, verdict);
      assert.not.match(verdict, /(?:Caution|Warning|Problem):/i, verdict);
    }
    const parted = run('parted', ['-s', '-m', device, 'unit', 'B', 'print']);
    for (const { number, extent } of image.partitions) {
      const end = extent.offset + extent.length - 1;
      assert.match(parted, new RegExp(`^${number}:${extent.offset}B:${end}B:${extent.length}B:`, 'm'));
    }
  });
}

const GPT_PLACES: readonly Places[] = [{ 1: [40, 30], 2: [1, 20], 3: [100, 20] }, { 2: [60, 40] }];

test('a GPT, from and to each size of sectors', async () => {
  for (const from of SECTORS) {
    const table = await made(gptFor(from), from);
    for (const sectorSize of SECTORS) {
      for (const [index, places] of GPT_PLACES.entries()) {
        const size = (index === 0 ? 123 : 300) * MiB;
        const image = fitTable(table, { targetSize: size, sectorSize, places: placesOf(places) });
        await judge(image, { size, sectorSize });
      }
    }
  }
});

const DOS_PLACES: readonly Places[] = [
  { 1: [1, 30], 3: [200, 10], 4: [210, 5], 5: [40, 20], 6: [62, 2], 7: [65, 100] },
  { 1: [150, 10], 3: [170, 5], 4: [1, 9], 5: [100, 10], 6: [80, 10], 7: [60, 10] },
  { 7: [60, 3] },
];

test('an MBR, from and to each size of sectors', async () => {
  for (const from of SECTORS) {
    const table = await made(DOS, from);
    assert.equal(
      table.partitions.map(({ number }) => number),
      [1, 3, 4, 5, 6, 7],
    );
    for (const sectorSize of SECTORS) {
      for (const places of DOS_PLACES) {
        const image = fitTable(table, { targetSize: 220 * MiB, sectorSize, places: placesOf(places) });
        await judge(image, { size: 220 * MiB, sectorSize });
      }
    }
  }
});

test('an MBR made a GPT, for each size of sectors', async () => {
  const table = (await made(DOS, 512)) as MbrTable;
  for (const sectorSize of SECTORS) {
    const guids = table.partitions.map(
      ({ number }) => [number, `00000000-0000-4000-8000-00000000000${number}`] as const,
    );
    const size = 200 * MiB;
    const image = convertToGpt(table, {
      ...{ targetSize: size, sectorSize, places: placesOf({ 3: [140, 40] }) },
      ...{ diskGuid: 'd0000000-0000-4000-8000-000000000000', partitionGuids: new Map(guids) },
    });
    await judge(image, { size, sectorSize });
  }
});

test('a new identity is what blkid says', async () => {
  const diskId = 'd0000000-0000-4000-8000-00000000000d';
  const partitionIds = new Map([[2, 'd0000000-0000-4000-8000-000000000002']]);
  const wishes: [string, { diskId: string; partitionIds: Map<number, string> }][] = [
    [gptFor(512), { diskId, partitionIds }],
    [DOS, { diskId: 'feedbeef', partitionIds: new Map() }],
  ];
  for (const [script, identity] of wishes) {
    const image = fitTable(await made(script, 512), { targetSize: 128 * MiB, sectorSize: 512, identity });
    const path = imageFile(folder, 'identity.img', { ...image, size: 128 * MiB });
    assert.is(run('blkid', ['-p', '-s', 'PTUUID', '-o', 'value', path]).trim(), identity.diskId);
    const uuids = run('partx', ['--show', '--noheadings', '--output', 'NR,UUID', path]);
    for (const { number, id } of image.partitions) assert.match(uuids, new RegExp(`^ *${number} +${id}$`, 'm'));
  }
});

test.run();
