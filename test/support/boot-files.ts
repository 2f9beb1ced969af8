// What a disk that boots Linux has in files that name its IDs, and what only looks like it.

import { chmodSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MiB } from '../../src/base/units.js';

/** When all of it was written. */
export const WHEN: Date = new Date('2020-02-02T02:02:02Z');

export function put(root: string, path: string, text: string | Buffer): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
  utimesSync(join(root, path), WHEN, WHEN);
}

export interface Ids {
  readonly esp: string;
  readonly root: string;
  readonly swap: string;
  readonly rootPartition: string;
}

const menu = ({ root }: Ids): string =>
  `# boot\n${`menuentry 'x' --id 'gnulinux-simple-${root}' { search --fs-uuid --set=root ${root}; }\n`.repeat(60)}`;

/** Path and text of what a system has. */
export function systemFiles(ids: Ids): Record<string, string> {
  const { esp, root, swap, rootPartition } = ids;
  return {
    '/etc/fstab': `UUID=${root} / ext4 defaults 0 1\nUUID=${esp} /boot/efi vfat\nUUID=${swap} none swap\n`,
    '/etc/default/grub': `GRUB_CMDLINE_LINUX="resume=UUID=${swap.toUpperCase()}"\n`,
    '/etc/kernel/cmdline': `root=PARTUUID=${rootPartition} ro\n`,
    '/etc/initramfs-tools/conf.d/resume': `RESUME=UUID=${swap}\n`,
    '/boot/grub/grub.cfg': menu(ids),
    '/boot/grub/grubenv': `# GRUB Environment Block\nsaved_entry=gnulinux-${root}\n`.padEnd(1024, '#'),
    '/boot/loader/entries/first.conf': `options root=UUID=${root}\n`,
    '/boot/loader/entries/second.conf': 'options root=LABEL=root\n',
  };
}

/** What looks the same and has to stay. */
export function otherFiles({ root }: Ids): Record<string, string> {
  return {
    '/home/notes': `my disk is ${root}\n`,
    '/etc/machine-id': 'b08dfa6083e7567a1921a715000001fb\n',
    '/etc/ssh/ssh_host_ed25519_key': 'secret\n',
    '/boot/initrd.img-6.1.0': 'compressed\n',
  };
}

export function fillSystem(root: string, ids: Ids): void {
  for (const [path, text] of Object.entries({ ...systemFiles(ids), ...otherFiles(ids) })) put(root, path, text);
  chmodSync(join(root, '/etc/fstab'), 0o640);
  symlinkSync('/proc/self/mounts', join(root, '/etc/crypttab'));
}

/** A program as small as can be, with a configuration built in. */
function program(text: string, { signed, at = 4500 }: { signed: boolean; at?: number }): Buffer {
  const bytes = Buffer.alloc(at + 1000);
  bytes.writeUInt32LE(64, 0x3c);
  bytes.write('PE\0\0', 64, 'latin1');
  bytes.writeUInt16LE(0x20b, 88);
  bytes.writeUInt32LE(16, 88 + 108);
  bytes.writeUInt32LE(signed ? 100 : 0, 88 + 112 + 36);
  bytes.write(text, at, 'latin1');
  return bytes;
}

export function fillEsp(root: string, ids: Ids): void {
  const stub = `search.fs_uuid ${ids.root} root hd0,gpt2\nconfigfile /boot/grub/grub.cfg\n`;
  put(root, '/EFI/debian/grub.cfg', stub);
  put(root, '/EFI/debian/grubx64.efi', program(stub, { signed: false }));
  put(root, '/EFI/debian/shimx64.efi', program(stub, { signed: true }));
  // A kernel is searched in pieces of 4 MiB; this ID lies in two of them.
  put(root, '/EFI/Linux/linux.efi', program(`root=UUID=${ids.root} ro`, { signed: false, at: 4 * MiB - 25 }));
  put(root, '/loader/entries/linux.conf', `options root=PARTUUID=${ids.rootPartition}\n`);
}
