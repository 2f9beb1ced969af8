// Makes disks with a real Debian on them that start in a virtual machine: UEFI or BIOS, ext4, btrfs or XFS.
// Invariant: every partition is made through a loop device over its own bytes alone, and is unmounted at the end.

import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bytes, MiB } from '../../src/base/units.js';
import { type Extent, extentEnd } from '../../src/map/extent.js';
import { efiImage, installBios, MENU_FOLDER, menu, menuFinder } from './debian/grub.js';
import { debianTree } from './debian/tree.js';
import { attachLoop } from './loop-device.js';
import { run } from './run.js';

export interface DebianWish {
  /** The file to make. */
  readonly path: string;
  readonly size: Bytes;
  readonly firmware: 'uefi' | 'bios';
  /** Only for BIOS, where it is `mbr` if missing. */
  readonly table?: 'gpt' | 'mbr';
  /** Default ext4. */
  readonly root?: 'ext4' | 'btrfs' | 'xfs';
  /** 4096 starts with UEFI only. Default 512. */
  readonly sectorSize?: 512 | 4096;
  readonly withNtfs?: boolean;
  readonly withSwap?: boolean;
}

export type DebianRole = 'esp' | 'bios-boot' | 'root' | 'ntfs' | 'swap';

export interface DebianPartition {
  readonly number: number;
  readonly role: DebianRole;
  readonly extent: Extent;
  /** As `/dev/disk/by-uuid` has it; empty for a BIOS boot partition. */
  readonly uuid: string;
}

export interface DebianDisk {
  readonly path: string;
  readonly size: Bytes;
  readonly table: 'gpt' | 'mbr';
  readonly sectorSize: 512 | 4096;
  readonly partitions: readonly DebianPartition[];
}

const TYPES: Readonly<Record<DebianRole, { gpt: string; mbr: string }>> = {
  esp: { gpt: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B', mbr: 'ef' },
  'bios-boot': { gpt: '21686148-6449-6E6F-744E-656564454649', mbr: 'da' },
  root: { gpt: '0FC63DAF-8483-4772-8E79-3D69D8477DE4', mbr: '83' },
  ntfs: { gpt: 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7', mbr: '7' },
  swap: { gpt: '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F', mbr: '82' },
};
/** The root gets what is left. */
const SIZES: Readonly<Record<Exclude<DebianRole, 'root'>, Bytes>> = {
  esp: 300 * MiB, // FAT32 needs 65525 clusters, and with large sectors those are large too
  'bios-boot': MiB,
  ntfs: 256 * MiB,
  swap: 128 * MiB,
};

/** Makes the disk, in seconds where the tree is there already. Needs root. */
export function makeDebianDisk(wish: DebianWish): DebianDisk {
  const { path, size, firmware, root = 'ext4', sectorSize = 512 } = wish;
  const table = firmware === 'uefi' ? 'gpt' : (wish.table ?? 'mbr');
  const tree = debianTree();
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  closeSync(fd);
  const partitions = placed(rolesOf(wish, table), size).map((each) => ({ ...each, uuid: uuidFor(each.role) }));
  const disk: DebianDisk = { path, size, table, sectorSize, partitions };
  writeTable(disk);
  for (const partition of partitions) {
    withPartition(disk, partition, (device) => {
      if (partition.role === 'esp') fillEsp(device, tree, disk);
      if (partition.role === 'root') fillRoot(device, tree, { disk, kind: root });
      if (partition.role === 'ntfs') fillNtfs(device, partition, sectorSize);
      if (partition.role === 'swap') run('mkswap', ['-q', '-U', partition.uuid, device]);
    });
  }
  if (firmware === 'bios') {
    const boot = partitions.find(({ role }) => role === 'bios-boot')?.extent;
    const room = boot ?? { offset: sectorSize, length: (partitions[0]?.extent.offset ?? 0) - sectorSize };
    const rootPartition = `${table === 'gpt' ? 'gpt' : 'msdos'}${partitionOf(disk, 'root').number}`;
    installBios(tree, { path, room, rootPartition, sectorSize });
  }
  return disk;
}

/** Throws if the disk has no such partition. */
export function partitionOf({ path, partitions }: DebianDisk, role: DebianRole): DebianPartition {
  const found = partitions.find((partition) => partition.role === role);
  if (!found) throw new Error(`${path} has no partition for ${role}`);
  return found;
}

/** Runs `work` with the root file system's folder, mounted read-only unless it is to be changed. */
export function withDebianRoot<T>(disk: DebianDisk, { write }: { write: boolean }, work: (folder: string) => T): T {
  return withPartition(disk, partitionOf(disk, 'root'), (device) => withMount(device, write ? 'rw' : 'ro', work));
}

function rolesOf({ firmware, withNtfs = false, withSwap = false }: DebianWish, table: 'gpt' | 'mbr'): DebianRole[] {
  const first: DebianRole[] = firmware === 'uefi' ? ['esp'] : table === 'gpt' ? ['bios-boot'] : [];
  return [...first, 'root', ...(withNtfs ? (['ntfs'] as const) : []), ...(withSwap ? (['swap'] as const) : [])];
}

function placed(roles: readonly DebianRole[], size: Bytes): { number: number; role: DebianRole; extent: Extent }[] {
  const others = roles.reduce((sum, role) => sum + (role === 'root' ? 0 : SIZES[role]), 0);
  const rest = Math.floor((size - others) / MiB - 2) * MiB; // a MiB before the first partition, and one at the end
  let offset = MiB;
  return roles.map((role, index) => {
    const extent = { offset, length: role === 'root' ? rest : SIZES[role] };
    offset = extentEnd(extent);
    return { number: index + 1, role, extent };
  });
}

/** FAT's serial numbers and NTFS's are shorter; NTFS takes a random one that nothing here refers to. */
function uuidFor(role: DebianRole): string {
  const uuid = randomUUID();
  if (role === 'esp') return `${uuid.slice(0, 4)}-${uuid.slice(4, 8)}`.toUpperCase();
  return role === 'bios-boot' || role === 'ntfs' ? '' : uuid;
}

function writeTable({ path, table, sectorSize, partitions }: DebianDisk): void {
  const lines = partitions.map(({ role, extent }) => {
    const type = TYPES[role][table];
    const bootable = table === 'mbr' && role === 'root' ? ', bootable' : '';
    return `start=${extent.offset / sectorSize}, size=${extent.length / sectorSize}, type=${type}${bootable}`;
  });
  const input = `label: ${table === 'gpt' ? 'gpt' : 'dos'}\n\n${lines.join('\n')}\n`;
  attachLoop(path, sectorSize, (device) => run('sfdisk', ['--no-reread', '--no-tell-kernel', '-q', device], { input }));
}

function withPartition<T>(
  { path, sectorSize }: DebianDisk,
  { extent }: DebianPartition,
  work: (device: string) => T,
): T {
  const place = ['-o', String(extent.offset), '--sizelimit', String(extent.length), '-b', String(sectorSize)];
  const device = run('losetup', ['-f', '--show', ...place, path]).trim();
  try {
    return work(device);
  } finally {
    run('losetup', ['-d', device]);
  }
}

function withMount<T>(device: string, options: string, work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'ectype-debian-'));
  run('mount', ['-o', options, device, folder]);
  try {
    return work(folder);
  } finally {
    run('umount', [folder]);
    rmSync(folder, { recursive: true, force: true });
  }
}

function fillEsp(device: string, tree: string, disk: DebianDisk): void {
  const { uuid, extent } = partitionOf(disk, 'esp');
  const hidden = String(extent.offset / disk.sectorSize);
  const sectors = ['-S', String(disk.sectorSize), '-h', hidden];
  run('mkfs.fat', ['-F', '32', '-s', '1', ...sectors, '-n', 'ESP', '-i', uuid.replace('-', ''), device]);
  const folder = mkdtempSync(join(tmpdir(), 'ectype-debian-'));
  try {
    const put = (name: string, content: Buffer | string): void => {
      writeFileSync(join(folder, 'file'), content);
      run('mcopy', ['-i', device, join(folder, 'file'), `::${name}`]);
    };
    const grub = efiImage(tree);
    run('mmd', ['-i', device, '::EFI', '::EFI/BOOT', '::EFI/debian']);
    put('EFI/BOOT/BOOTX64.EFI', grub);
    put('EFI/debian/grubx64.efi', grub);
    put('EFI/debian/grub.cfg', menuFinder(partitionOf(disk, 'root').uuid));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fillRoot(device: string, tree: string, { disk, kind }: { disk: DebianDisk; kind: string }): void {
  const { uuid } = partitionOf(disk, 'root');
  if (kind === 'ext4') run('mkfs.ext4', ['-q', '-F', '-U', uuid, '-L', 'root', device]);
  if (kind === 'btrfs') run('mkfs.btrfs', ['-q', '-f', '-U', uuid, '-L', 'root', device]);
  if (kind === 'xfs') run('mkfs.xfs', ['-q', '-f', '-m', `uuid=${uuid}`, '-L', 'root', device]);
  withMount(device, 'rw', (folder) => {
    run('cp', ['-a', `${tree}/.`, folder]);
    writeFileSync(join(folder, 'etc/fstab'), fstab(disk, kind));
    mkdirSync(join(folder, MENU_FOLDER), { recursive: true });
    mkdirSync(join(folder, 'boot/efi'), { recursive: true });
    writeFileSync(join(folder, MENU_FOLDER, 'grub.cfg'), menu(uuid));
  });
}

function fstab({ partitions }: DebianDisk, kind: string): string {
  const lines = partitions.flatMap(({ role, uuid }) => {
    if (role === 'root') return [`UUID=${uuid} / ${kind} defaults 0 ${kind === 'ext4' ? 1 : 0}`];
    if (role === 'esp') return [`UUID=${uuid} /boot/efi vfat umask=0077 0 1`];
    return role === 'swap' ? [`UUID=${uuid} none swap sw 0 0`] : [];
  });
  return `${lines.join('\n')}\n`;
}

function fillNtfs(device: string, { extent }: DebianPartition, sectorSize: number): void {
  const start = String(extent.offset / sectorSize);
  const geometry = ['-p', start, '-H', '255', '-S', '63', '-s', String(sectorSize)];
  run('mkntfs', ['-q', '-Q', '-F', '-L', 'data', ...geometry, device]);
}
