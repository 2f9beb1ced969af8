// Checks the machine: the native part, the state folder, and the programs that our advice refers to.

import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { findProgram } from '../device/program.js';
import { findUefi } from '../machine/firmware.js';
import { binding } from '../native/binding.js';
import { stateFolder } from '../state/folder.js';

export interface Check {
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface Health {
  readonly checks: readonly Check[];
  /** Clones can be made here. */
  readonly usable: boolean;
  /** One command that installs the missing programs; undefined if none is missing or the system is not known. */
  readonly install: string | undefined;
}

interface Helper {
  readonly program: string;
  readonly use: string;
  readonly debian: string;
  /** Where it is, if it is no program. */
  readonly find?: () => string | undefined;
}

/** None of them is needed to clone at the same size: ectype reads all file systems itself. They repair, and they resize. */
const HELPERS: readonly Helper[] = [
  { program: 'e2fsck', use: 'repairs ext2/3/4 before a clone', debian: 'e2fsprogs' },
  { program: 'xfs_repair', use: 'repairs XFS before a clone', debian: 'xfsprogs' },
  { program: 'fsck.fat', use: 'repairs FAT (EFI partitions) before a clone', debian: 'dosfstools' },
  { program: 'ntfsfix', use: 'looks at NTFS without Windows', debian: 'ntfs-3g' },
  { program: 'sgdisk', use: 'repairs damaged partition tables', debian: 'gdisk' },
  { program: 'qemu-img', use: 'keeps what changes when a file system gets another size', debian: 'qemu-utils' },
  { program: 'qemu-storage-daemon', use: 'shows a file system at another size', debian: 'qemu-system-common' },
  { program: 'resize2fs', use: 'changes the size of ext2/3/4', debian: 'e2fsprogs' },
  { program: 'ntfsresize', use: 'changes the size of NTFS', debian: 'ntfs-3g' },
  { program: 'xfs_growfs', use: 'makes XFS larger', debian: 'xfsprogs' },
  { program: 'btrfs', use: 'changes the size of btrfs', debian: 'btrfs-progs' },
  { program: 'resize.f2fs', use: 'changes the size of F2FS', debian: 'f2fs-tools' },
  { program: 'smartctl', use: 'tells the health of a disk', debian: 'smartmontools' },
  { program: 'qemu-system-x86_64', use: 'starts disks in a virtual machine (boot)', debian: 'qemu-system-x86' },
  { program: 'OVMF', use: 'UEFI for that virtual machine', debian: 'ovmf', find: () => findUefi()?.code },
];

export function doctor(): Health {
  const essential = [nativeCheck(), stateCheck()];
  const helpers = HELPERS.map((helper) => ({ helper, path: (helper.find ?? findProgram)(helper.program) }));
  const missing = helpers.filter(({ path }) => path === undefined).map(({ helper }) => helper.debian);
  return {
    checks: [
      ...essential,
      rootCheck(),
      ...helpers.map(({ helper, path }) => ({
        what: helper.program,
        ok: path !== undefined,
        detail: `${helper.use}${path ? ` (${path})` : ''}`,
      })),
    ],
    usable: essential.every(({ ok }) => ok),
    install: missing.length > 0 && isDebian() ? `apt-get install ${[...new Set(missing)].join(' ')}` : undefined,
  };
}

function nativeCheck(): Check {
  const ok = binding.allocateAligned(4096).byteLength === 4096;
  return { what: 'native part', ok, detail: 'direct I/O, discard and locks' };
}

function stateCheck(): Check {
  const folder = stateFolder();
  let existing = folder;
  while (!existsSync(existing)) existing = dirname(existing);
  try {
    accessSync(existing, constants.W_OK);
    return { what: 'state folder', ok: true, detail: folder };
  } catch {
    return {
      what: 'state folder',
      ok: false,
      detail: `${folder} cannot be written; point ECTYPE_STATE at a folder that can`,
    };
  }
}

function rootCheck(): Check {
  const root = process.getuid?.() === 0;
  return {
    what: 'root',
    ok: root,
    detail: root ? 'disks can be opened' : 'only files and disks of this user can be opened',
  };
}

function isDebian(): boolean {
  try {
    return /^ID(_LIKE)?=.*(debian|ubuntu)/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}
