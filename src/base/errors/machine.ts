// Errors of disks that are started in a virtual machine.

import { ToolError } from '../tool-error.js';
import { type Bytes, formatBytes } from '../units.js';

export function bootNeedsDisk(name: string): ToolError {
  return new ToolError({
    code: 'usage.boot-needs-disk',
    message: `${name} is a partition; a machine starts whole disks`,
    hint: 'Name the disk that the partition is on',
    details: { name },
  });
}

/** Firmware or bus and sector size that do not go together. */
export function cannotStartSectors(name: string, sectorSize: Bytes, what: string, hint: string): ToolError {
  return new ToolError({
    code: 'usage.cannot-start-sectors',
    message: `${name} has sectors of ${sectorSize} bytes: ${what}`,
    hint,
    details: { name, sectorSize },
  });
}

export function noDisplay(): ToolError {
  return new ToolError({
    code: 'usage.no-display',
    message: '--display needs a graphical session, and neither DISPLAY nor WAYLAND_DISPLAY is set',
    hint: 'Leave --display out for the serial console, or take a picture with --screenshot FILE.png',
  });
}

/** The target of a clone that is not finished holds no table. */
export function unfinishedDisk(name: string): ToolError {
  return new ToolError({
    code: 'safety.boot-unfinished',
    message: `${name} is the unfinished target of a clone: there is nothing to start yet`,
    hint: 'Run the same clone again to finish it',
    details: { name },
  });
}

export function uefiMissing(name: string): ToolError {
  return new ToolError({
    code: 'device.uefi-missing',
    message: `${name} starts with UEFI, and no UEFI firmware for virtual machines (OVMF) is installed`,
    hint: 'Install the package ovmf (that is its name on Debian and Ubuntu; edk2-ovmf on others)',
    details: { name },
  });
}

export function lacksMemory({ wanted, available }: { wanted: Bytes; available: Bytes }): ToolError {
  return new ToolError({
    code: 'device.lacks-memory',
    message: `the virtual machine needs ${formatBytes(wanted)} of memory, and ${formatBytes(available)} are free`,
    hint: 'End other programs, or give it less with --memory',
    details: { wanted, available },
  });
}

/** `said`: the last lines of what QEMU printed. */
export function machineFailed(
  name: string,
  { status, said }: { status: number | string; said: readonly string[] },
): ToolError {
  const words = said.length > 0 ? `: ${said.join('; ').replace(/[.\s]+$/, '')}` : '';
  return new ToolError({
    code: 'device.machine-failed',
    message: `the virtual machine for ${name} does not run: qemu-system-x86_64 ended with ${status}${words}`,
    hint: 'Check that QEMU works on this machine (`ectype doctor`), and that the scratch folder has room',
    details: { name, status, said },
  });
}

/** QEMU does not do what it is asked for. */
export function machineRefuses(command: string, reason: string): ToolError {
  return new ToolError({
    code: 'device.machine-refuses',
    message: `the virtual machine cannot do "${command}": ${reason}`,
    hint: 'QEMU 7.1 or newer is needed; check the path if it is about a file',
    details: { command, reason },
  });
}

/** The system on the disk did not start. `saw`: what tells so. */
export function bootFailed(name: string, saw: string, details: Readonly<Record<string, unknown>>): ToolError {
  return new ToolError({
    code: 'verify.boot-failed',
    message: `${name} did not start: ${saw}`,
    hint: 'Look at it with `ectype boot` on its serial console, or with --screenshot; a UEFI disk may need --firmware uefi',
    details: { name, saw, ...details },
  });
}

/** Neither a login prompt nor a failure was seen. */
export function bootUnproven(name: string, saw: string, details: Readonly<Record<string, unknown>>): ToolError {
  return new ToolError({
    code: 'verify.boot-unproven',
    message: `whether ${name} starts is not known: ${saw}`,
    hint: 'Look at the picture of its screen, or give it more time; a system that uses the serial console (console=ttyS0) can be told',
    details: { name, saw, ...details },
  });
}

export function bootInterrupted(name: string): ToolError {
  return new ToolError({
    code: 'interrupted.boot',
    message: `the virtual machine for ${name} was stopped; nothing was written to the disk`,
    hint: 'Run the same command again when you like',
    details: { name },
  });
}
