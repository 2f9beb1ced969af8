// A disk that boots is shown with new IDs: its files name them, and nothing else in the volumes has changed.

import { randomBytes } from 'node:crypto';
import { lstatSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { MiB } from '../../src/base/units.js';
import { identify } from '../../src/device/identity.js';
import { type DiskReport, inspectDisk } from '../../src/plan/inspect.js';
import { referencesInBootAreas } from '../../src/reshape/identity/boot-areas.js';
import { newIdStep } from '../../src/reshape/identity/new-id.js';
import { NO_REFERENCES, type References } from '../../src/reshape/identity/references.js';
import { type Rename, renamesOf } from '../../src/reshape/identity/renames.js';
import { rewriteReferences } from '../../src/reshape/identity/rewrite.js';
import { drawIdentity } from '../../src/reshape/identity/twin-identity.js';
import { refuseWindows, windowsOn } from '../../src/reshape/identity/windows.js';
import { makeView, type Step } from '../../src/reshape/view.js';
import { openDiskSource } from '../../src/source/disk.js';
import { fillEsp, fillSystem, type Ids, otherFiles, put, systemFiles, WHEN } from '../support/boot-files.js';
import { type BuiltDisk, buildDisk, onPartition, partitionOf, readAt } from '../support/disk-builder.js';
import { HAS_LOOP } from '../support/loop.js';
import { type Content, checkContent, EXT4, FAT32, NTFS, SWAP, withFolder } from '../support/partition-content.js';
import { thrownBy } from '../support/partition-disk.js';
import { randomFrom, SEED } from '../support/random.js';
import { assertNothingLeft, digestOf, dumpView } from '../support/reshape.js';
import { run } from '../support/run.js';
import { scratchFolder } from '../support/scratch.js';

const folder = scratchFolder();
const SECTORS = MiB / 512;

async function inspected(path: string): Promise<DiskReport> {
  const disk = openDiskSource(path);
  try {
    return await inspectDisk(disk, identify(path, disk.size));
  } finally {
    await disk.close();
  }
}

/** The IDs of partitions 1 (ESP), 2 (root) and 3 (swap). */
function idsOf({ table, volumes }: DiskReport): Ids {
  const [esp = '', root = '', swap = ''] = volumes.map(({ filesystem }) => filesystem?.uuid ?? '');
  return { esp, root, swap, rootPartition: table?.partitions[1]?.id ?? '' };
}

async function fillPartition(disk: BuiltDisk, number: number, fill: (root: string) => void): Promise<void> {
  const { extent, content } = partitionOf(disk, number);
  await onPartition(disk.path, extent, (file) => withFolder(file, content, fill), { write: true });
}

async function bootDisk(name: string, content: Content, size: number): Promise<BuiltDisk> {
  const path = join(folder, `${name}.img`);
  const partitions = [
    { content: FAT32, size: 36 * SECTORS },
    { content, size: size * SECTORS },
    { content: SWAP, size: 4 * SECTORS },
  ];
  const disk = await buildDisk({ path, size: (size + 50) * MiB, table: 'gpt', partitions }, randomFrom(SEED));
  const ids = idsOf(await inspected(path));
  await fillPartition(disk, 1, (root) => fillEsp(root, ids));
  await fillPartition(disk, 2, (root) => fillSystem(root, ids));
  return disk;
}

interface Shown {
  readonly before: Buffer;
  readonly after: Buffer;
  readonly path: string;
  readonly found: References;
  readonly renames: readonly Rename[];
}

interface Wanted {
  /** Steps besides the references. */
  readonly withIds: boolean;
  readonly size?: number;
}

const IDENTITIES = new Map<string, ReturnType<typeof drawIdentity>['identity']>();

/** Shows the volume with its references rewritten; the caller removes `path`. */
async function shown(disk: BuiltDisk, number: number, { withIds, size }: Wanted): Promise<Shown> {
  const report = await inspected(disk.path);
  const identity = IDENTITIES.get(disk.path) ?? drawIdentity(report, { random: randomBytes }).identity;
  IDENTITIES.set(disk.path, identity);
  const renames = renamesOf(report, identity);
  const { extent, content } = partitionOf(disk, number);
  const kind = report.volumes[number - 1]?.filesystem?.kind ?? '';
  let found = NO_REFERENCES;
  const rewrite = rewriteReferences(renames, (references) => {
    found = references;
  });
  const ids: Step[] = withIds ? [newIdStep(kind, identity.volumes[number] ?? '')] : [];
  const digest = digestOf(disk.path);
  const view = await makeView({
    source: { path: disk.path, kind: 'file', ...extent },
    filesystem: kind,
    size: size ?? extent.length,
    sectorSize: 512,
    scratch: folder,
    after: [...ids, rewrite],
  });
  const path = join(folder, 'dump');
  await dumpView(view, path);
  await view.close();
  assertNothingLeft(folder);
  assert.is(digestOf(disk.path), digest, 'the source has changed');
  checkContent(path, content);
  const before = readAt(disk.path, extent.offset, extent.length);
  return { before, after: readFileSync(path), path, found, renames };
}

/** Bytes differ only where an old ID was and its new one is; returns how many such places there are. */
function placesChanged({ before, after, renames }: Shown): number {
  assert.is(after.length, before.length);
  const words = renames.map(({ from, to }) => ({ from: from.toLowerCase(), to: to.toLowerCase() }));
  const at = (bytes: Buffer, start: number, length: number): string =>
    bytes.toString('latin1', start, start + length).toLowerCase();
  let places = 0;
  for (let offset = 0; offset < before.length; ) {
    if (before.subarray(offset, offset + 4096).equals(after.subarray(offset, offset + 4096))) {
      offset += 4096;
      continue;
    }
    if (before[offset] === after[offset]) {
      offset += 1;
      continue;
    }
    const word = words
      .flatMap(({ from, to }) => Array.from({ length: from.length }, (_, back) => ({ from, to, start: offset - back })))
      .find(({ from, to, start }) => at(before, start, from.length) === from && at(after, start, to.length) === to);
    assert.ok(word, `byte ${offset} has changed, and is no ID`);
    places += 1;
    offset = (word?.start ?? 0) + (word?.from.length ?? 1);
  }
  return places;
}

function renamed(text: string, renames: readonly Rename[]): string {
  return renames.reduce(
    (result, { from, to }) => result.replaceAll(from, to).replaceAll(from.toUpperCase(), to.toUpperCase()),
    text,
  );
}

const total = ({ rewritten }: References): number => rewritten.reduce((sum, { count }) => sum + count, 0);

/** `below`: where in the file system the system lies. */
async function assertSystem(shownVolume: Shown, content: Content, ids: Ids, below = ''): Promise<void> {
  const { path, renames, found } = shownVolume;
  await withFolder(path, content, (root) => {
    for (const [name, text] of Object.entries(systemFiles(ids))) {
      assert.is(readFileSync(join(root, below, name), 'utf8'), renamed(text, renames), name);
      assert.is(lstatSync(join(root, below, name)).mtimeMs, WHEN.getTime(), name);
    }
    for (const [name, text] of Object.entries(otherFiles(ids))) {
      assert.is(readFileSync(join(root, below, name), 'utf8'), text, name);
    }
    assert.is(lstatSync(join(root, below, '/etc/fstab')).mode & 0o777, 0o640);
  });
  const changed = Object.keys(systemFiles(ids)).filter((name) => !name.endsWith('second.conf'));
  assert.equal(found.rewritten.map((each) => each.path).sort(), changed.map((name) => `${below}${name}`).sort());
  assert.equal(
    found.listed.map(({ place }) => place).sort(),
    ['/boot/initrd.img-6.1.0', '/etc/machine-id', '/etc/ssh/ssh_host_ed25519_key'].map((name) => `${below}${name}`),
  );
  assert.ok(found.unresolved.some(({ place }) => place === `${below}/etc/crypttab`));
}

const XFS: Content = { kind: 'xfs', options: [] };
const BTRFS: Content = { kind: 'btrfs', options: [] };

if (HAS_LOOP) {
  test('ext4 root and ESP: all references, nothing else, the same bytes each time', async () => {
    const disk = await bootDisk('ext4', EXT4, 64);
    const ids = idsOf(await inspected(disk.path));
    const root = await shown(disk, 2, { withIds: false });
    assert.is(placesChanged(root), total(root.found));
    await assertSystem(root, EXT4, ids);

    const esp = await shown(disk, 1, { withIds: false });
    assert.is(placesChanged(esp), total(esp.found));
    assert.equal(esp.found.rewritten.map(({ path }) => path).sort(), [
      '/EFI/Linux/linux.efi',
      '/EFI/debian/grub.cfg',
      '/EFI/debian/grubx64.efi',
      '/loader/entries/linux.conf',
    ]);
    assert.equal(
      esp.found.unresolved.map(({ place }) => place),
      ['/EFI/debian/shimx64.efi'],
    );

    const swap = await shown(disk, 3, { withIds: false });
    assert.ok(swap.after.equals(swap.before));
    assert.equal(swap.found, NO_REFERENCES);
  });

  test('with new IDs and another size in the same view', async () => {
    const disk = await bootDisk('smaller', EXT4, 48);
    const ids = idsOf(await inspected(disk.path));
    const first = await shown(disk, 2, { withIds: true, size: 36 * MiB });
    const again = await shown(disk, 2, { withIds: true, size: 36 * MiB });
    assert.ok(again.after.equals(first.after));
    await assertSystem(again, EXT4, ids);
    const newId = IDENTITIES.get(disk.path)?.volumes[2];
    assert.is(run('blkid', ['-p', '-o', 'value', '-s', 'UUID', again.path]).trim(), newId);
  });

  test('XFS root', async () => {
    const disk = await bootDisk('xfs', XFS, 64);
    const ids = idsOf(await inspected(disk.path));
    const root = await shown(disk, 2, { withIds: false });
    assert.is(placesChanged(root), total(root.found));
    await assertSystem(root, XFS, ids);
  });

  test('btrfs root in a subvolume, with a snapshot that stays', async () => {
    const disk = await bootDisk('btrfs', BTRFS, 120);
    const ids = idsOf(await inspected(disk.path));
    await fillPartition(disk, 2, (root) => {
      for (const name of ['etc', 'boot', 'home']) rmSync(join(root, name), { recursive: true });
      run('btrfs', ['subvolume', 'create', join(root, '@')]);
      fillSystem(join(root, '@'), ids);
      run('btrfs', ['subvolume', 'snapshot', '-r', join(root, '@'), join(root, 'snapshot')]);
    });
    const root = await shown(disk, 2, { withIds: true });
    await assertSystem(root, BTRFS, ids, '/@');
    const snapshot = root.found.unresolved.find(({ place }) => place === '/snapshot');
    assert.match(snapshot?.why ?? '', /read-only snapshot; 7 files/);
    await withFolder(root.path, BTRFS, (mounted) => {
      const fstab = readFileSync(join(mounted, 'snapshot/etc/fstab'), 'utf8');
      assert.is(fstab, systemFiles(ids)['/etc/fstab']);
    });
  });

  test('boot code in the gap is looked at, and left alone', async () => {
    const path = join(folder, 'ext4.img');
    const report = await inspected(path);
    const { identity } = drawIdentity(report, { random: randomBytes });
    const bytes = readFileSync(path);
    bytes.write('GRUB \0Geom', 384, 'latin1');
    bytes.write(`search.fs_uuid ${idsOf(report).root} root`, 40_000, 'latin1');
    writeFileSync(path, bytes);
    const disk = openDiskSource(path);
    assert.ok(report.table);
    if (!report.table) return;
    const { unresolved, listed } = await referencesInBootAreas(disk, report.table, renamesOf(report, identity));
    await disk.close();
    assert.match(unresolved[0]?.why ?? '', /in 1 places/);
    assert.is(unresolved.length, 1);
    assert.is(listed[0]?.place, 'GRUB for BIOS');
  });

  test('Windows is found on NTFS and on the ESP, and refused', async () => {
    const path = join(folder, 'windows.img');
    const partitions = [
      { content: FAT32, size: 36 * SECTORS },
      { content: NTFS, size: 16 * SECTORS },
    ];
    const built = await buildDisk({ path, size: 60 * MiB, table: 'gpt', partitions }, randomFrom(SEED));
    const found = async (): Promise<string[]> => {
      const disk = openDiskSource(path);
      try {
        const { volumes } = await inspectDisk(disk, identify(path, disk.size));
        return await windowsOn(disk, volumes);
      } finally {
        await disk.close();
      }
    };
    assert.equal(await found(), []);
    for (const [index, name] of ['/EFI/Microsoft/Boot/BCD', '/Windows/System32/x'].entries()) {
      await fillPartition(built, index + 1, (root) => put(root, name, 'regf'));
    }
    assert.equal(await found(), ['partition 1: /EFI/Microsoft/Boot/BCD', 'partition 2: /Windows/System32']);
    const disk = openDiskSource(path);
    const { volumes } = await inspectDisk(disk, identify(path, disk.size));
    const error = await thrownBy(() => refuseWindows(disk, volumes));
    await disk.close();
    assert.is((error as { code?: string }).code, 'safety.twin-of-windows');
  });
}

test.run();
