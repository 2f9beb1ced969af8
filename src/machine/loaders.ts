// Boot loaders that a computer's firmware starts by an entry of its own, not because they are on the disk: a virtual
// machine has no such entries. Its UEFI shell starts them instead, by a script on a small disk beside the real one.
// Invariant: the script is only reached when the firmware found nothing to start by itself.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Below \EFI on the EFI system partition; shim before what it would start. */
const LOADERS: readonly string[] = [
  ...['debian', 'ubuntu', 'fedora', 'centos', 'rocky', 'almalinux', 'redhat', 'opensuse', 'sles'].map(
    (vendor) => `${vendor}\\shimx64.efi`,
  ),
  'opensuse\\shim.efi',
  ...['debian', 'ubuntu', 'fedora', 'centos', 'opensuse', 'arch', 'GRUB'].map((vendor) => `${vendor}\\grubx64.efi`),
  'systemd\\systemd-bootx64.efi',
  'Microsoft\\Boot\\bootmgfw.efi',
];
const FILE_SYSTEMS = '0 1 2 3 4 5 6 7 8 9';

/** What the script says before it starts a loader; the loader's path follows. */
export const STARTING = 'no firmware entry: starting';

/** Makes a folder with the script; QEMU shows it as a disk. Returns its path. */
export function makeLoaderFolder(folder: string): string {
  const path = join(folder, 'loaders');
  mkdirSync(path);
  writeFileSync(join(path, 'startup.nsh'), script());
  return path;
}

/** UEFI Shell Specification 2.2, chapter 4: a script names itself, and ends when no loader returns. */
function script(): string {
  const attempts = LOADERS.flatMap((loader) => [
    `for %i in ${FILE_SYSTEMS}`,
    `  if exist fs%i:\\EFI\\${loader} then`,
    `    echo "${STARTING} \\EFI\\${loader}"`,
    `    fs%i:\\EFI\\${loader}`,
    '  endif',
    'endfor',
  ]);
  return `${['@echo -off', ...attempts].join('\r\n')}\r\n`;
}
