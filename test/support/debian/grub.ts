// Makes Debian disks start: GRUB for UEFI as files, for BIOS as boot code and core image, and its menu.
// Invariant: the tree is only read; GRUB's own programs make the images, and only positions on the disk are filled in.

import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bytes } from '../../../src/base/units.js';
import type { Extent } from '../../../src/map/extent.js';
import { readAt, writeAt } from '../disk-builder.js';
import { grubFile } from './tree.js';

/** So that nothing has to be found on the disk before the menu is. */
const MODULES = [
  ...['part_gpt', 'part_msdos', 'fat', 'ext2', 'btrfs', 'xfs', 'gzio', 'normal', 'configfile', 'linux', 'echo', 'test'],
  ...['search', 'search_fs_uuid', 'serial', 'terminal', 'minicmd', 'ls'],
];

/** grub-install's name for the folder of the menu, on the root file system. */
export const MENU_FOLDER = '/boot/grub';

export function menu(rootUuid: string): string {
  return [
    'serial --unit=0 --speed=115200',
    'terminal_input serial console',
    'terminal_output serial console',
    'set timeout=0',
    `search --no-floppy --fs-uuid --set=root ${rootUuid}`,
    "menuentry 'Debian GNU/Linux' {",
    `  linux /vmlinuz root=UUID=${rootUuid} ro console=tty0 console=ttyS0,115200`,
    '  initrd /initrd.img',
    '}',
    '',
  ].join('\n');
}

/** The menu on the EFI system partition: it only finds the real one, as Debian's does. */
export function menuFinder(rootUuid: string): string {
  return `search.fs_uuid ${rootUuid} root\nset prefix=($root)'${MENU_FOLDER}'\nconfigfile $prefix/grub.cfg\n`;
}

/** GRUB as one UEFI program, which reads its first menu from \EFI\debian beside it. */
export function efiImage(tree: string): Buffer {
  return mkimage(tree, 'x86_64-efi', '/EFI/debian', MODULES);
}

export interface BiosPlace {
  readonly path: string;
  /** Where the core image goes: the gap behind the table, or a BIOS boot partition. */
  readonly room: Extent;
  /** As GRUB counts: `msdos1`, `gpt2`. */
  readonly rootPartition: string;
  readonly sectorSize: Bytes;
}

const BOOT_CODE_LENGTH = 440;
/** In boot.img: where the core image's first sector is. GRUB manual, "BIOS installation"; include/grub/i386/pc/boot.h. */
const CORE_LBA_AT = 0x5c;
/** In the core image's first sector: the list of the other ones, { u64 LBA, u16 count, u16 segment }. */
const REST_AT = 0x1f4;
const UNIT = 512;

/** Writes boot code and core image, as grub-bios-setup does. */
export function installBios(tree: string, { path, room, rootPartition }: BiosPlace): void {
  const prefix = `(,${rootPartition})${MENU_FOLDER}`;
  const core = mkimage(tree, 'i386-pc', prefix, ['biosdisk', ...MODULES]);
  if (core.length > room.length) throw new Error(`GRUB needs ${core.length} bytes, and there are ${room.length}`);
  const lba = room.offset / UNIT;
  core.writeBigUInt64LE(BigInt(lba + 1), REST_AT);
  core.writeUInt16LE(Math.ceil(core.length / UNIT) - 1, REST_AT + 8);
  const boot = Buffer.from(grubFile(tree, 'i386-pc/boot.img').subarray(0, BOOT_CODE_LENGTH));
  boot.writeBigUInt64LE(BigInt(lba), CORE_LBA_AT);
  const sector = readAt(path, 0, UNIT);
  boot.copy(sector);
  writeAt(path, 0, sector);
  writeAt(path, room.offset, core);
}

function mkimage(tree: string, format: string, prefix: string, modules: readonly string[]): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'ectype-grub-'));
  const path = join(folder, 'image');
  const fd = openSync(path, 'w'); // it syncs what it writes, and outside of the tree
  try {
    const words = [tree, 'grub-mkimage', '-O', format, '-p', prefix, ...modules];
    const { status, stderr } = spawnSync('chroot', words, { stdio: ['ignore', fd, 'pipe'] });
    if (status !== 0) throw new Error(`grub-mkimage ended with ${status}: ${stderr}`);
    return readFileSync(path);
  } finally {
    closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  }
}
