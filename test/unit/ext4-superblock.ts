import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { MiB, TiB } from '../../src/base/units.js';
import { ext4 } from '../../src/filesystem/ext4/plugin.js';
import { parseSuperblock } from '../../src/filesystem/ext4/superblock.js';
import { buildSuperblock, Field, volumeWith } from '../support/ext4-builder.js';

test('reads what the superblock says', async () => {
  const raw = buildSuperblock({ writeTime: 1_700_000_000, mountTime: 1_600_000_000 });
  raw.write('root é', Field.label);
  Buffer.from('0123456789abcdef0123456789abcdef', 'hex').copy(raw, Field.uuid);
  const info = await ext4.probe(volumeWith(raw));
  assert.equal(info, {
    kind: 'ext2',
    label: 'root é',
    uuid: '01234567-89ab-cdef-0123-456789abcdef',
    size: 64 * MiB,
    blockSize: 1024,
    used: 5536 * 1024,
    lastWritten: new Date(1_700_000_000_000),
    made: '00'.repeat(20),
    mounts: 0,
  });
});

test('a label of 16 bytes has no end mark; no UUID and no time are empty', async () => {
  const raw = buildSuperblock();
  raw.write('sixteen-bytes-ab', Field.label);
  const info = await ext4.probe(volumeWith(raw));
  assert.is(info?.label, 'sixteen-bytes-ab');
  assert.is(info?.uuid, '');
  assert.is(info?.lastWritten, undefined);
});

test('kinds are told apart as blkid does', async () => {
  for (const [features, kind] of [
    [{}, 'ext2'],
    [{ incompat: 0x12 }, 'ext2'],
    [{ compat: 0x4 }, 'ext3'],
    [{ compat: 0x4, incompat: 0x6 }, 'ext3'],
    [{ compat: 0x4, incompat: 0x42 }, 'ext4'],
    [{ incompat: 0x202 }, 'ext4'],
    [{ roCompat: 0x13 }, 'ext4'],
    [{ roCompat: 0x1003 }, 'ext4'],
  ] as const) {
    const info = await ext4.probe(volumeWith(buildSuperblock(features)));
    assert.is(info?.kind, kind, JSON.stringify(features));
  }
});

test('numbers out of bounds are nobody’s', async () => {
  for (const changes of [
    { magic: 0xef52 },
    { incompat: 0xa },
    { logBlockSize: 7 },
    { logBlockSize: 0xffffffff },
    { firstDataBlock: 0 },
    { firstDataBlock: 2 },
    { logBlockSize: 2 },
    { blockCount: 0 },
    { blockCount: 1 },
    { blocksPerGroup: 0 },
    { blocksPerGroup: 8200 },
    { blocksPerGroup: 4 },
    { blocksPerGroup: 8191 },
    { inodesPerGroup: 0 },
    { inodesPerGroup: 8193 },
    { inodeCount: 1 },
    { inodeSize: 0 },
    { inodeSize: 130 },
    { inodeSize: 2048 },
    { inodeSize: 64 },
    { roCompat: 0x203, logClusterSize: 21 },
    { roCompat: 0x203, logClusterSize: 3, firstDataBlock: 0 },
    { incompat: 0x82 },
    { incompat: 0x82, descriptorSize: 32 },
    { incompat: 0x82, descriptorSize: 96 },
    { incompat: 0x82, descriptorSize: 2048 },
    { incompat: 0x82, descriptorSize: 64, blockCountHigh: 0xffffffff },
  ]) {
    assert.is(await ext4.probe(volumeWith(buildSuperblock(changes))), undefined, JSON.stringify(changes));
  }
});

test('too small a volume is nobody’s', async () => {
  assert.is(await ext4.probe(volumeWith(buildSuperblock(), 2047)), undefined);
  assert.is(await ext4.probe(volumeWith(buildSuperblock(), 0)), undefined);
});

test('64-bit counts use their high halves only if the feature is there', async () => {
  const small = await ext4.probe(volumeWith(buildSuperblock({ blockCountHigh: 1 })));
  assert.is(small?.size, 64 * MiB);
  const groups = 2 ** 32 / 32768 + 1;
  const raw = buildSuperblock({
    incompat: 0x82,
    descriptorSize: 64,
    logBlockSize: 2,
    logClusterSize: 2,
    firstDataBlock: 0,
    blocksPerGroup: 32768,
    blockCount: 32768,
    blockCountHigh: 1,
    freeBlockCount: 0,
    freeBlockCountHigh: 1,
    inodesPerGroup: 32,
    inodeCount: groups * 32,
  });
  assert.is(parseSuperblock(raw)?.groupCount, groups);
  const info = await ext4.probe(volumeWith(raw, 20 * TiB));
  assert.is(info?.size, 16 * TiB + 128 * MiB);
  assert.is(info?.used, 128 * MiB);
});

test('a wrong checksum is seen, a right one too', () => {
  const raw = buildSuperblock({ roCompat: 0x403, checksumType: 1 });
  assert.is(parseSuperblock(raw)?.intact, true);
  raw.writeUInt8(1, 0x200);
  assert.is(parseSuperblock(raw)?.intact, false);
  assert.is(parseSuperblock(buildSuperblock({ roCompat: 0x403, checksumType: 2 }))?.intact, false);
});

test('a counter beyond the size is no counter', async () => {
  const info = await ext4.probe(volumeWith(buildSuperblock({ freeBlockCount: 65537 })));
  assert.is(info?.used, undefined);
});

test('a superblock that went away is a FormatError', async () => {
  const info = await ext4.probe(volumeWith(buildSuperblock()));
  assert.ok(info);
  const empty = volumeWith(Buffer.alloc(1024));
  for (const act of [ext4.readState, ext4.openAllocationMap, ext4.token]) {
    try {
      await act(empty, info);
      assert.unreachable();
    } catch (error) {
      assert.instance(error, FormatError);
    }
  }
});

test.run();
