// The firmware of the virtual machine: BIOS comes with QEMU, UEFI is a package of its own, elsewhere on each distribution.
// Invariant: a code file is only used together with the variables made for it; the variables are copied, never changed.

import { existsSync } from 'node:fs';

export type Firmware = 'uefi' | 'bios';
export type FirmwareWish = Firmware | 'auto';

export interface UefiFiles {
  /** Read-only flash. */
  readonly code: string;
  /** What an empty variable store looks like; every machine gets a copy. */
  readonly variables: string;
}

/** Without Secure Boot: nothing here could enrol keys. In the order of preference. */
const UEFI_FILES: readonly UefiFiles[] = [
  // Debian, Ubuntu
  { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables: '/usr/share/OVMF/OVMF_VARS_4M.fd' },
  { code: '/usr/share/OVMF/OVMF_CODE.fd', variables: '/usr/share/OVMF/OVMF_VARS.fd' },
  // Fedora, Red Hat
  { code: '/usr/share/edk2/ovmf/OVMF_CODE.fd', variables: '/usr/share/edk2/ovmf/OVMF_VARS.fd' },
  // Arch
  { code: '/usr/share/edk2/x64/OVMF_CODE.4m.fd', variables: '/usr/share/edk2/x64/OVMF_VARS.4m.fd' },
  { code: '/usr/share/edk2-ovmf/x64/OVMF_CODE.fd', variables: '/usr/share/edk2-ovmf/x64/OVMF_VARS.fd' },
  // openSUSE
  { code: '/usr/share/qemu/ovmf-x86_64-4m-code.bin', variables: '/usr/share/qemu/ovmf-x86_64-4m-vars.bin' },
  { code: '/usr/share/qemu/ovmf-x86_64-code.bin', variables: '/usr/share/qemu/ovmf-x86_64-vars.bin' },
  // As QEMU itself brings it
  { code: '/usr/share/qemu/edk2-x86_64-code.fd', variables: '/usr/share/qemu/edk2-i386-vars.fd' },
];

/** Undefined: no UEFI firmware is installed. */
export function findUefi(candidates: readonly UefiFiles[] = UEFI_FILES): UefiFiles | undefined {
  return candidates.find(({ code, variables }) => existsSync(code) && existsSync(variables));
}

/** Partition types of an EFI system partition, as tables have them. */
const EFI_SYSTEM_TYPES = new Set(['C12A7328-F81F-11D2-BA4B-00A0C93EC93B', '0xef']);

/** What the disk was made for: an EFI system partition is there for nothing else. */
export function chooseFirmware(wish: FirmwareWish, partitions: readonly { readonly type: string }[]): Firmware {
  if (wish !== 'auto') return wish;
  return partitions.some(({ type }) => EFI_SYSTEM_TYPES.has(type)) ? 'uefi' : 'bios';
}
