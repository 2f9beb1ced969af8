// MBR: numbers of partitions, hostile chains of logical ones, and file systems that look like a table.

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { fitTable, gapsOf, structures } from '../../src/partition/layout.js';
import { readTable } from '../../src/partition/read.js';
import type { MbrTable, PartitionTable } from '../../src/partition/table.js';
import { fileSource } from '../support/file-source.js';
import { emptyFile, imageBytes, memoryDisk, putEntry, thrownBy } from '../support/partition-disk.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const SECTORS = 4096;
const SIGNATURE = Buffer.from('55aa', 'hex');

interface Entry {
  readonly slot: number;
  readonly type: number;
  readonly start: number;
  readonly count: number;
  readonly boot?: number;
}

/** Writes a boot signature and entries into the sector at `lba`. */
function record(disk: Buffer, lba: number, entries: readonly Entry[], sectorSize = 512): void {
  const at = lba * sectorSize;
  for (const entry of entries) putEntry(disk, { ...entry, at: at + 446 + entry.slot * 16 });
  disk.writeUInt16BE(0x55aa, at + 510);
}

/** Primary 1, extended 2 (LBA 1000 to 2999) with logicals 5, 6 and 7, primary 4. */
function chained(sectorSize = 512): Buffer {
  const disk = Buffer.alloc(SECTORS * sectorSize);
  disk.writeUInt32LE(0x000abcde, 440);
  const entries = [
    { slot: 0, type: 0x0c, start: 100, count: 200, boot: 0x80 },
    { slot: 1, type: 0x0f, start: 1000, count: 2000 },
    { slot: 3, type: 0x83, start: 3000, count: 100 },
  ];
  record(disk, 0, entries, sectorSize);
  for (const [i, lba] of [1000, 1500, 2000].entries()) {
    const links = [{ slot: 1, type: 0x05, start: lba - 500, count: 410 }];
    const data = { slot: 0, type: 0x83, start: 10, count: 400 - i };
    record(disk, lba, [data, ...(lba < 2000 ? links : [])], sectorSize);
    disk.fill('loader', lba * sectorSize, lba * sectorSize + 100);
  }
  return disk;
}

function mbr(table: PartitionTable | undefined): MbrTable {
  assert.ok(table);
  if (table.kind !== 'mbr') throw new Error(`not an MBR: ${table.kind}`);
  return table;
}

async function refused(disk: Buffer, code: string, ...texts: RegExp[]): Promise<void> {
  const error = await thrownBy(() => readTable(memoryDisk(disk, 512)));
  assert.instance(error, ToolError, `nothing thrown, ${code} expected: ${error}`);
  if (!(error instanceof ToolError)) return;
  assert.is(error.code, code);
  for (const text of texts) assert.match(error.message, text);
}

test('numbers primaries by slot and logicals in chain order, for any sector size', async () => {
  for (const sectorSize of [512, 4096]) {
    const table = mbr(await readTable(memoryDisk(chained(sectorSize), sectorSize)));
    assert.is(table.id, '000abcde');
    assert.equal(
      table.partitions.map(({ number, role, extent, id }) => [number, role, extent.offset / sectorSize, id]),
      [
        [1, 'primary', 100, '000abcde-01'],
        [4, 'primary', 3000, '000abcde-04'],
        [5, 'logical', 1010, '000abcde-05'],
        [6, 'logical', 1510, '000abcde-06'],
        [7, 'logical', 2010, '000abcde-07'],
      ],
    );
    assert.is(table.partitions[0]?.bootable, true);
    assert.is(table.partitions[0]?.typeName, 'FAT32 (LBA)');
    assert.equal(
      structures(table).map(({ offset, length }) => [offset / sectorSize, length / sectorSize]),
      [0, 1000, 1500, 2000].map((lba) => [lba, 1]),
    );
  }
});

test('gaps are all that is neither partition nor structure', async () => {
  const table = mbr(await readTable(memoryDisk(chained(), 512)));
  assert.equal(
    gapsOf(table, SECTORS * 512).map(({ offset, length }) => [offset / 512, (offset + length) / 512]),
    [
      [1, 100],
      [300, 1000],
      [1001, 1010],
      [1410, 1500],
      [1501, 1510],
      [1909, 2000],
      [2001, 2010],
      [2408, 3000],
      [3100, 4096],
    ],
  );
});

test('fitted to its own disk, a table comes out byte for byte', async () => {
  const disk = chained();
  const table = mbr(await readTable(memoryDisk(disk, 512)));
  const image = fitTable(table, { targetSize: disk.length, sectorSize: 512 });
  for (const { offset, bytes } of image.writes) {
    assert.ok(bytes.equals(disk.subarray(offset, offset + bytes.length)), `sector at ${offset}`);
  }
});

test('dropping logicals links the chain anew and moves numbers up', async () => {
  const disk = chained();
  const table = mbr(await readTable(memoryDisk(disk, 512)));
  for (const [only, starts] of [
    [
      [1, 7],
      [100, 2010],
    ],
    [
      [4, 6],
      [3000, 1510],
    ],
    [
      [5, 7],
      [1010, 2010],
    ],
    [[4], [3000]],
    [[], []],
  ] as const) {
    const image = fitTable(table, { targetSize: disk.length, sectorSize: 512, only });
    const fitted = mbr(await readTable(memoryDisk(imageBytes(image, disk.length), 512)));
    assert.equal(
      fitted.partitions,
      image.partitions.map(({ sourceNumber, ...partition }) => partition),
    );
    assert.equal(
      image.partitions.map(({ sourceNumber }) => sourceNumber),
      only,
    );
    assert.equal(
      fitted.partitions.map(({ extent }) => extent.offset / 512),
      starts,
    );
    assert.is(fitted.raw.containers.length, only.some((number) => number >= 5) ? 1 : 0);
    for (const { sector } of fitted.raw.containers.flatMap(({ chain }) => chain)) {
      assert.is(sector.toString('latin1', 0, 12), 'loaderloader');
    }
  }
});

test('a smaller target must hold every kept partition; the container shrinks', async () => {
  const table = mbr(await readTable(memoryDisk(chained(), 512)));
  const error = await thrownBy(() => fitTable(table, { targetSize: 3000 * 512, sectorSize: 512 }));
  assert.instance(error, ToolError);
  if (error instanceof ToolError) {
    assert.is(error.code, 'safety.target-too-small');
    assert.is(error.details['missing'], 100 * 512);
  }
  const targetSize = 2500 * 512;
  const image = fitTable(table, { targetSize, sectorSize: undefined, only: [1, 5, 6, 7] });
  const fitted = mbr(await readTable(memoryDisk(imageBytes(image, targetSize), 512)));
  assert.is(fitted.partitions.length, 4);
  assert.is(fitted.raw.containers[0]?.extent.length, 1500 * 512);
});

test('refuses a change of the sector size and unknown numbers', async () => {
  const table = mbr(await readTable(memoryDisk(chained(), 512)));
  const bySize = await thrownBy(() => fitTable(table, { targetSize: 1e9, sectorSize: 4096 }));
  assert.is(bySize instanceof ToolError && bySize.code, 'safety.sector-size-differs');
  const byNumber = await thrownBy(() => fitTable(table, { targetSize: 1e9, sectorSize: 512, only: [2] }));
  assert.is(byNumber instanceof ToolError && byNumber.code, 'usage.no-such-partition');
});

test('refuses hostile chains', async () => {
  const linked = (lba: number, start: number): Buffer => {
    const disk = chained();
    record(disk, lba, [{ slot: 1, type: 0x05, start, count: 400 }]);
    return disk;
  };
  await refused(linked(2000, 0), 'filesystem.ebr-loop', /LBA 1000/);
  await refused(linked(2000, 1000), 'filesystem.ebr-loop', /LBA 2000/);
  await refused(linked(1500, 2000), 'filesystem.ebr-outside', /LBA 1500.*LBA 3000.*LBA 1000 to 2999/);
  await refused(linked(1500, 0xffffffff), 'filesystem.ebr-outside');
  await refused(linked(2000, 1900), 'filesystem.ebr-damaged', /LBA 2000.*LBA 2900/);
  const many = chained();
  for (let i = 0; i < 400; i += 1) {
    record(many, 1000 + i * 4, [
      { slot: 0, type: 0x83, start: 1, count: 2 },
      { slot: 1, type: 0x05, start: (i + 1) * 4, count: 4 },
    ]);
  }
  await refused(many, 'filesystem.too-many-logicals', /128/);
});

test('refuses impossible partitions', async () => {
  const changed = (...entries: Entry[]): Buffer => {
    const disk = chained();
    record(disk, 0, entries);
    return disk;
  };
  const one = { slot: 0, type: 0x83 };
  await refused(changed({ ...one, start: 0, count: 10 }), 'filesystem.partitions-overlap', /the MBR/);
  await refused(changed({ ...one, start: 900, count: 101 }), 'filesystem.partitions-overlap', /extended partition 2/);
  await refused(changed({ ...one, start: 4000, count: 97 }), 'filesystem.partition-outside', /4000 to 4096.*0 to 4095/);
  const logical = chained();
  record(logical, 1500, [{ slot: 0, type: 0x83, start: 10, count: 490 + 1 }]);
  await refused(logical, 'filesystem.partitions-overlap', /partition 6.*record of logical/);
  record(logical, 1500, [{ slot: 0, type: 0x83, start: 10, count: 1491 }]);
  await refused(logical, 'filesystem.partition-outside', /partition 6 spans LBA 1510 to 3000.*its extended partition/);
});

test('an extended partition that was never set up is empty', async () => {
  const disk = chained();
  disk.fill(0, 1000 * 512, 1001 * 512);
  const table = mbr(await readTable(memoryDisk(disk, 512)));
  assert.equal(
    table.warnings.map(({ code }) => code),
    ['extended-empty'],
  );
  assert.is(fitTable(table, { targetSize: disk.length, sectorSize: 512 }).writes.length, 1);
});

test('a bare file system is no table', async () => {
  const folder = scratchFolder();
  const makers: [string, string[]][] = [
    ['mkfs.fat', ['-F', '12']],
    ['mkfs.fat', ['-F', '16']],
    ['mkfs.fat', ['-F', '32']],
    ['mkfs.fat', ['--mbr=yes', '-F', '32']],
    ['mkfs.ntfs', ['-F', '-q', '-f']],
    ['mkfs.exfat', []],
    ['mkfs.ext4', ['-q', '-F']],
    ['mkfs.btrfs', ['-q']],
    ['mkfs.xfs', ['-q']],
    ['mkswap', []],
  ];
  for (const [maker, args] of makers) {
    if (!available(maker)) continue;
    const path = emptyFile(folder, `${maker}.img`, maker === 'mkfs.fat' && args[1] === '12' ? 8 << 20 : 320 << 20);
    run(maker, [...args, path]);
    // Once as it is, once with a boot sector without entries, as boot loaders write it in front of a file system.
    for (const signed of [false, true]) {
      if (signed) run('dd', ['conv=notrunc', 'bs=1', 'seek=510', 'status=none', `of=${path}`], { input: SIGNATURE });
      const source = fileSource(path, { sectorSize: 512 });
      assert.is(await readTable(source), undefined, `${maker} ${args.join(' ')}`);
      await source.close();
    }
  }
});

function available(command: string): boolean {
  try {
    run('sh', ['-c', `command -v ${command}`]);
    return true;
  } catch {
    return false;
  }
}

test('remains of a file system do not hide a real table', async () => {
  const disk = chained();
  Buffer.from('53ef', 'hex').copy(disk, 1080);
  assert.is((await readTable(memoryDisk(disk, 512)))?.kind, 'mbr');
});

test('an empty MBR is a table without partitions; a blank disk and boot code with odd flags are none', async () => {
  const disk = Buffer.alloc(SECTORS * 512);
  assert.is(await readTable(memoryDisk(disk, 512)), undefined);
  assert.is(await readTable(memoryDisk(disk.subarray(0, 100))), undefined);
  disk.writeUInt16BE(0x55aa, 510);
  assert.equal(mbr(await readTable(memoryDisk(disk, 512))).partitions, []);
  disk.writeUInt8(0x12, 446);
  assert.is(await readTable(memoryDisk(disk, 512)), undefined);
});

test.run();
