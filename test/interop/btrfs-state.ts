// What the plugin says of volumes in every state that real tools and a real kernel leave them in; and the token.

import { createHash } from 'node:crypto';
import { closeSync, copyFileSync, fsyncSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FormatError } from '../../src/base/u64.js';
import { KiB, MiB } from '../../src/base/units.js';
import { btrfs } from '../../src/filesystem/btrfs/plugin.js';
import type { FilesystemState } from '../../src/filesystem/plugin.js';
import { recognise } from '../../src/filesystem/registry.js';
import { demandPerfect, makeBtrfs, mounted, patch, withVolume } from '../support/btrfs-image.js';
import { nodesOf, seal } from '../support/btrfs-nodes.js';
import { fileSource } from '../support/file-source.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const scratch = scratchFolder();
const SIZE = 128 * MiB;
const NODE_SIZE = 16 * KiB;
const SUPERBLOCK = { offset: 65536, length: 4096 };
const MIRROR = 64 * MiB;
let number = 0;

function newImage(...options: string[]): string {
  number += 1;
  const image = join(scratch, `${number}.img`);
  makeBtrfs([image], SIZE, options);
  return image;
}

const stateOf = (image: string): Promise<FilesystemState> =>
  withVolume(image, (volume, info) => btrfs.readState(volume, info));

const tokenOf = (image: string): Promise<Buffer> => withVolume(image, (volume, info) => btrfs.token(volume, info));

async function expectState(image: string, kind: FilesystemState['kind'], reason: RegExp): Promise<void> {
  const state = await stateOf(image);
  assert.is(state.kind, kind, state.reason);
  assert.match(state.reason, reason);
  assert.is(state.advice === '', kind === 'clean');
}

async function expectNoMap(image: string, reason: RegExp): Promise<void> {
  await withVolume(image, async (volume, info) => {
    try {
      await btrfs.openAllocationMap(volume, info);
    } catch (error) {
      assert.instance(error, FormatError);
      assert.match(String(error), reason, String(error));
      return;
    }
    assert.unreachable('a map of damaged metadata was handed out');
  });
}

const bytesOf = (image: string): string => createHash('sha256').update(readFileSync(image)).digest('hex');

/** Changes the first superblock and makes its checksum right again. */
function patchSuperblock(image: string, change: (superblock: Buffer) => void): void {
  patch(image, SUPERBLOCK.offset, SUPERBLOCK.length, (superblock) => {
    change(superblock);
    seal(superblock, 0);
  });
}

/** Changes every copy of one tree's leaves and makes their checksums right again. */
function patchLeaves(image: string, tree: string, change: (node: Buffer) => void): void {
  const found = nodesOf([image], NODE_SIZE).filter(({ owner, leaf }) => owner === tree && leaf);
  assert.ok(found.length > 0);
  for (const { offset, length } of found) {
    patch(image, offset, length, (node) => {
      change(node);
      seal(node, 0);
    });
  }
}

test('fresh, unmounted and frozen volumes are clean', async () => {
  const image = newImage();
  await expectState(image, 'clean', /^$/);
  mounted([image], (folder) => writeFileSync(join(folder, 'a'), 'x'));
  await expectState(image, 'clean', /^$/);
  const frozen = `${image}.frozen`;
  mounted([image], (folder) => {
    const fd = openSync(join(folder, 'b'), 'w');
    writeFileSync(fd, Buffer.alloc(300_000, 7));
    fsyncSync(fd);
    closeSync(fd);
    run('fsfreeze', ['-f', folder]);
    try {
      copyFileSync(image, frozen);
    } finally {
      run('fsfreeze', ['-u', folder]);
    }
  });
  await expectState(frozen, 'clean', /^$/);
  demandPerfect([frozen]);
  await withVolume(frozen, (volume, info) => btrfs.openAllocationMap(volume, info));
});

test('fsync before a crash leaves a log tree to replay; after the advice it is clean', async () => {
  const image = newImage();
  const crashed = `${image}.crashed`;
  mounted([image], (folder) => {
    writeFileSync(join(folder, 'a'), 'x');
    run('sync', ['-f', folder]);
    const fd = openSync(join(folder, 'a'), 'a');
    writeFileSync(fd, Buffer.alloc(300_000, 7));
    fsyncSync(fd);
    closeSync(fd);
    copyFileSync(image, crashed);
  });
  await expectState(crashed, 'needs-replay', /log tree/);
  // The map is that of the last commit, good for a first pass over a live volume.
  await withVolume(crashed, (volume, info) => btrfs.openAllocationMap(volume, info));
  mounted([crashed], (folder) => assert.is(statSync(join(folder, 'a')).size, 300_001));
  await expectState(crashed, 'clean', /^$/);
});

test('unknown features are unsupported and get no map', async () => {
  for (const [offset, flag, name] of [
    [0xbc, 0x1000n, /zoned/],
    [0xbc, 0x2000n, /extent-tree-v2/],
    [0xbc, 0x4000n, /raid-stripe-tree/],
    [0xbc, 1n << 50n, /incompat 0x4000000000000/],
    [0xb4, 0x10n, /compat_ro 0x10/],
    [0x38, 1n << 33n, /flags 0x200000000/],
  ] as const) {
    const image = newImage();
    patchSuperblock(image, (superblock) => {
      superblock.writeBigUInt64LE(superblock.readBigUInt64LE(offset) | flag, offset);
    });
    await expectState(image, 'unsupported', name);
    await expectNoMap(image, /unknown features/);
    rmSync(image);
  }
  const image = newImage();
  for (const offset of [SUPERBLOCK.offset, MIRROR]) {
    patch(image, offset, SUPERBLOCK.length, (superblock) => superblock.writeUInt16LE(4, 0xc4));
  }
  await expectState(image, 'unsupported', /checksum type 4/);
  await expectNoMap(image, /unknown features/);
});

test('marks of errors and of interrupted changes are dirty', async () => {
  const image = newImage();
  patchSuperblock(image, (superblock) => superblock.writeBigUInt64LE(0x5n, 0x38));
  await expectState(image, 'dirty', /kernel found errors/);
  patchSuperblock(image, (superblock) => superblock.writeBigUInt64LE((1n << 36n) | 1n, 0x38));
  await expectState(image, 'dirty', /change of its UUID/);
});

test('a damaged first superblock is recognised by its mirror, dirty and has no map', async () => {
  const image = newImage('-L', 'the label');
  patch(image, SUPERBLOCK.offset, SUPERBLOCK.length, (superblock) => superblock.write('OTHER', 0x12b));
  await expectState(image, 'dirty', /superblock is damaged/);
  await expectNoMap(image, /superblock is damaged/);
  await withVolume(image, async (_, info) => assert.is(info.label, 'the label'));
  patch(image, MIRROR, SUPERBLOCK.length, (superblock) => superblock.write('THIRD', 0x12b));
  await withVolume(image, async (_, info) => assert.is(info.label, 'OTHERabel'));
  await expectState(image, 'dirty', /superblock is damaged/);
});

test('a mirror alone makes no btrfs: another file system was made over it', async () => {
  const image = newImage();
  run('mke2fs', ['-q', '-F', '-b', '4096', image]);
  run('dd', ['if=/dev/zero', `of=${image}`, 'bs=4096', 'seek=16', 'count=1', 'conv=notrunc', 'status=none']);
  const volume = fileSource(image);
  assert.is(await btrfs.probe(volume), undefined);
  assert.equal(
    (await recognise(volume)).map(({ info }) => info.kind),
    ['ext2'],
  );
  await volume.close();
});

test('a truncated volume is incomplete and keeps its token', async () => {
  const image = newImage();
  run('truncate', ['-s', String(SIZE - 4096), image]);
  await expectState(image, 'incomplete', /128 MiB.*128/);
  await expectNoMap(image, /larger than its volume/);
  await withVolume(image, async (volume, info) => assert.is(info.size, volume.size));
  run('truncate', ['-s', '1M', image]);
  await expectState(image, 'incomplete', /ends after 1 MiB/);
  assert.is((await tokenOf(image)).length, 16);
});

test('what the superblock says of itself is what the tools wrote', async () => {
  const uuid = '12345678-9abc-def0-1234-56789abcdef0';
  const image = newImage('-L', 'Prüfstück', '-U', uuid);
  run('truncate', ['-s', String(SIZE + 12 * MiB), image]);
  await withVolume(image, async (volume, info) => {
    assert.is(info.label, 'Prüfstück');
    assert.is(info.uuid, uuid);
    assert.is(info.size, SIZE);
    const map = await btrfs.openAllocationMap(volume, info);
    for await (const { offset, length } of map.usedExtents({ offset: 0, length: volume.size })) {
      assert.ok(offset + length <= SIZE);
    }
  });
  run('btrfstune', ['-f', '-m', image]);
  const visible = /^fsid\s+(\S+)/m.exec(run('btrfs', ['inspect-internal', 'dump-super', image]))?.[1];
  await withVolume(image, async (_, info) => assert.is(info.uuid, visible));
});

test('one damaged copy of a tree block is read from the other; two are no map', async () => {
  const image = newImage();
  const extents = nodesOf([image], NODE_SIZE).filter(({ owner }) => owner === 'EXTENT_TREE');
  assert.is(extents.length, 2);
  const [first, second] = extents;
  const spoil = (offset: number): void => patch(image, offset, NODE_SIZE, (node) => void node.write('noise', 5000));
  spoil(first?.offset ?? 0);
  await withVolume(image, (volume, info) => btrfs.openAllocationMap(volume, info));
  spoil(second?.offset ?? 0);
  await expectNoMap(image, /tree block \d+ of tree 2 is damaged: its checksum is wrong/);
});

test('contradictions are no map', async () => {
  const counter = newImage();
  patchSuperblock(counter, (superblock) => superblock.writeBigUInt64LE(superblock.readBigUInt64LE(0x78) + 4096n, 0x78));
  await expectNoMap(counter, /block groups have \d+ used bytes together/);

  const group = newImage('-m', 'single');
  patchLeaves(group, 'EXTENT_TREE', (node) => {
    // The first item of the extent tree is a block group; its data lies at the very end.
    node.writeUInt32LE(4096, node.length - 24);
  });
  await expectNoMap(group, /block group \d+ has 16384 used bytes, its counter says 4096/);

  const extent = newImage('-m', 'single');
  patchLeaves(extent, 'DEV_TREE', (node) => {
    // The last device extent lies elsewhere than its chunk says.
    const count = node.readUInt32LE(0x60);
    const at = 101 + (count - 1) * 25;
    node.writeBigUInt64LE(node.readBigUInt64LE(at + 9) + 65536n, at + 9);
  });
  await expectNoMap(extent, /no chunk has the device extent/);

  const stripe = newImage('-m', 'single', '-d', 'single');
  patchLeaves(stripe, 'CHUNK_TREE', (node) => {
    // Device 7 instead of 1 in the first chunk: the first item behind the device.
    const data = 101 + node.readUInt32LE(101 + 25 + 17);
    node.writeUInt32LE(7, data + 48);
  });
  await expectNoMap(stripe, /device that does not exist|disagree on chunk/);
});

test('the token changes with writing mounts and repairs, with nothing else', async () => {
  const image = newImage();
  const seen = [await tokenOf(image)];
  const same = async (what: string): Promise<void> => {
    assert.ok((await tokenOf(image)).equals(seen.at(-1) ?? Buffer.alloc(0)), `${what} must not change the token`);
  };
  const different = async (what: string): Promise<void> => {
    const token = await tokenOf(image);
    assert.is(token.length, 16);
    assert.not.ok(
      seen.some((other) => other.equals(token)),
      `${what} must change the token`,
    );
    seen.push(token);
  };
  await same('reading');
  run('btrfs', ['check', '--readonly', image]);
  await same('btrfs check');
  mounted([image], () => undefined, 'ro');
  await same('a mount for reading');
  const before = bytesOf(image);
  mounted([image], () => undefined);
  if (bytesOf(image) === before) await same('a mount that writes nothing');
  else await different('a writing mount');
  mounted([image], (folder) => writeFileSync(join(folder, 'a'), Buffer.alloc(100_000, 1)));
  await different('a written file');
  mounted([image], (folder) => statSync(join(folder, 'a')), 'ro');
  await same('another mount for reading');
  mounted(
    [image],
    (folder) => {
      const fd = openSync(join(folder, 'a'), 'r+');
      writeFileSync(fd, Buffer.alloc(100_000, 2));
      closeSync(fd);
    },
    'nodatacow',
  );
  await different('a file overwritten');
  mounted([image], (folder) => rmSync(join(folder, 'a')));
  await different('a deleted file');
  run('btrfs', ['filesystem', 'label', image, 'other']);
  await different('a new label');
  run('btrfs', ['check', '--repair', '--force', image]);
  demandPerfect([image]);
});

test.run();
