// What a new place means for a volume, decided without one: hidden sectors, kinds of FAT, the fall-back loader.

import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ToolError } from '../../src/base/tool-error.js';
import { afterMove } from '../../src/reshape/after-move/after-move.js';
import { planFallback } from '../../src/reshape/after-move/fallback-loader.js';
import { chooseGeometry } from '../../src/reshape/after-move/fat-geometry.js';
import type { FatNode } from '../../src/reshape/after-move/fat-tree.js';
import { difference, hiddenSectors, type Move } from '../../src/reshape/after-move/move.js';
import { memoryTarget } from '../../src/source/memory.js';
import { patchedSource } from '../../src/source/patched.js';
import { thrownBy } from '../support/partition-disk.js';
import { SEED } from '../support/random.js';
import { rounds } from '../support/scale.js';

const MiB = 1 << 20;

function move(kind: string | undefined, from: [number, number], to: [number, number]): Move {
  return {
    volume: memoryTarget(Buffer.alloc(MiB), 'partition 7'),
    filesystem: kind === undefined ? undefined : { kind },
    source: { startLba: from[0], sectorSize: from[1] },
    target: { startLba: to[0], sectorSize: to[1] },
  };
}

test('hidden sectors become the new start, unless nobody ever knew the old one', () => {
  const moved = move('ntfs', [2048, 512], [4096, 512]);
  assert.is(hiddenSectors(2048, moved), 4096);
  assert.is(hiddenSectors(63, moved), 4096, 'wrong before, right now');
  assert.is(hiddenSectors(0, moved), 0, 'made on an image');
  assert.is(hiddenSectors(0, move('ntfs', [0, 512], [2048, 512])), 2048, '0 was right');
  assert.is(hiddenSectors(2048, move('ntfs', [2048, 512], [2 ** 32, 512])), 2048, 'does not fit');
});

test('a patch is no longer than what differs', () => {
  const before = Buffer.from([1, 2, 3, 4, 5, 6]);
  assert.equal(difference(before, before, 100), []);
  assert.equal(difference(before, Buffer.from([1, 9, 3, 9, 5, 6]), 100), [
    { offset: 101, bytes: Buffer.from([9, 3, 9]) },
  ]);
});

test('a difference, put over what it was taken from, gives what it was made of', async () => {
  const bytes = fc.uint8Array({ minLength: 50, maxLength: 50, max: 2 });
  await fc.assert(
    fc.asyncProperty(bytes, bytes, async (before, after) => {
      const patches = difference(Buffer.from(before), Buffer.from(after), 0);
      const shown = Buffer.alloc(50);
      await patchedSource(memoryTarget(Buffer.from(before)), patches).read(shown, 0);
      assert.ok(shown.equals(after));
    }),
    { seed: SEED, numRuns: rounds({ short: 200, long: 20_000 }) },
  );
});

test('a move changes nothing in what counts from its own beginning', async () => {
  for (const kind of ['ext4', 'xfs', 'btrfs', 'f2fs', 'swap', 'crypto_LUKS', 'BitLocker', 'LVM2_member', undefined]) {
    assert.equal(await afterMove(move(kind, [2048, 512], [8192, 512])), { patches: [], notes: [] });
  }
});

test('containers on other sectors: a word about what they hold, BitLocker refused', async () => {
  const up = await afterMove(move('crypto_LUKS', [2048, 512], [256, 4096]));
  assert.equal(up.patches, []);
  assert.match(up.notes.join(), /^partition 7 \(crypto_LUKS\) moves from sectors of 512 bytes .* cannot be mounted$/);
  assert.equal(await afterMove(move('crypto_LUKS', [256, 4096], [2048, 512])), { patches: [], notes: [] });
  assert.match((await afterMove(move('zfs_member', [8, 512], [1, 4096]))).notes.join(), /ashift 9/);
  for (const [from, to] of [
    [512, 4096],
    [4096, 512],
  ] as const) {
    assert.match(
      (await afterMove(move(undefined, [8, from], [8, to]))).notes.join(),
      /unknown content.* is not known$/,
    );
    const refused = await thrownBy(() => afterMove(move('BitLocker', [8, from], [8, to])));
    assert.is(refused instanceof ToolError && refused.code, 'filesystem.sector-size-stays');
  }
});

test('what was recognised and is not there any more is refused, not guessed at', async () => {
  for (const kind of ['ntfs', 'fat16', 'fat32', 'exfat', 'ext4', 'xfs', 'btrfs', 'swap']) {
    const error = await thrownBy(() => afterMove(move(kind, [8, 512], [8, 4096])));
    assert.is(error instanceof ToolError && error.code, 'filesystem.not-movable', kind);
  }
});

test('the type of a FAT follows its size, and stays what it was where both can be', () => {
  const type = (size: number, sectorSize: number, wanted: 12 | 16 | 32): number | undefined =>
    chooseGeometry(size, sectorSize, wanted)?.bits;
  assert.is(type(100 * MiB, 4096, 32), 16, 'too few clusters of 4 KiB');
  assert.is(type(300 * MiB, 4096, 32), 32);
  assert.is(type(100 * MiB, 512, 32), 32);
  assert.is(type(100 * MiB, 512, 16), 16);
  assert.is(type(512 * MiB, 4096, 16), 16);
  assert.is(type(8 * MiB, 4096, 16), 12);
  assert.is(type(8 * 1024 * MiB, 512, 16), 32);
  assert.is(type(16 * 1024, 4096, 32), undefined);
});

test('whatever is chosen keeps off the limits between the types', () => {
  const LIMITS = { 12: [1, 4084], 16: [4085, 65524], 32: [65525, 0x0ffffff4] } as const;
  fc.assert(
    fc.property(
      fc.integer({ min: 64, max: 2 ** 26 }),
      fc.constantFrom(512, 1024, 2048, 4096),
      fc.constantFrom(12, 16, 32),
      (kib, sectorSize, wanted) => {
        const found = chooseGeometry(kib * 1024, sectorSize, wanted as 12 | 16 | 32);
        if (!found) return kib < 256;
        const [least, most] = LIMITS[found.bits];
        const clusters = (kib * 1024) / sectorSize / found.sectorsPerCluster;
        return found.clusterCount >= least && clusters <= most && found.sectorsPerCluster * sectorSize <= 32768;
      },
    ),
    { seed: SEED, numRuns: rounds({ short: 1000, long: 100_000 }) },
  );
});

function nodes(...paths: string[]): FatNode[] {
  return paths.map((path) => ({
    path,
    isDirectory: !path.includes('.'),
    attributes: 0x20,
    written: 0,
    size: 1,
    digest: path,
  }));
}

test('the fall-back loader: shim with what it loads, or GRUB alone', () => {
  const shim = planFallback(
    nodes('/EFI', '/EFI/debian', '/EFI/debian/shimx64.efi', '/EFI/debian/grubx64.efi', '/EFI/debian/mmx64.efi'),
  );
  assert.equal(shim?.folders, ['/EFI/BOOT']);
  assert.equal(shim?.copies, [
    { from: '/EFI/debian/shimx64.efi', to: '/EFI/BOOT/BOOTX64.EFI' },
    { from: '/EFI/debian/grubx64.efi', to: '/EFI/BOOT/GRUBX64.EFI' },
    { from: '/EFI/debian/mmx64.efi', to: '/EFI/BOOT/MMX64.EFI' },
  ]);
  const grub = planFallback(nodes('/efi', '/efi/Boot', '/efi/ubuntu', '/efi/ubuntu/GrubX64.efi'));
  assert.equal(grub?.folders, []);
  assert.equal(grub?.copies, [{ from: '/efi/ubuntu/GrubX64.efi', to: '/efi/Boot/BOOTX64.EFI' }]);
});

test('no fall-back loader: there is one, there are two to choose from, there is none', () => {
  const debian = ['/EFI', '/EFI/debian', '/EFI/debian/grubx64.efi'];
  assert.is(planFallback(nodes(...debian, '/EFI/boot', '/EFI/boot/bootx64.efi')), undefined);
  assert.is(planFallback(nodes(...debian, '/EFI/fedora', '/EFI/fedora/shimx64.efi')), undefined);
  assert.is(planFallback(nodes('/EFI', '/EFI/Microsoft', '/EFI/Microsoft/x.efi')), undefined);
  assert.is(planFallback([]), undefined);
});

test.run();
