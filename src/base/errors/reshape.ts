// Errors of views that show a volume at another size, and of the outside programs that make them.

import { errnoOf, ToolError } from '../tool-error.js';
import { type Bytes, formatBytesExact } from '../units.js';
import { describeCause } from './device.js';

export function programMissing(program: string, debianPackage: string): ToolError {
  return new ToolError({
    code: 'device.program-missing',
    message: `the program ${program} is needed and is not installed`,
    hint: `Install the package ${debianPackage} (that is its name on Debian and Ubuntu)`,
    details: { program, debianPackage },
  });
}

export function scratchTooSmall(
  volume: string,
  scratch: string,
  { needed, free }: { needed: Bytes; free: Bytes },
): ToolError {
  return new ToolError({
    code: 'safety.scratch-too-small',
    message: `the view of ${volume} may take ${formatBytesExact(needed)}, and ${scratch} has only ${formatBytesExact(free)} left`,
    hint: 'Name a folder with more room with --scratch',
    details: { volume, scratch, needed, free },
  });
}

export function viewsDiffer(volume: string, kind: string, target: string): ToolError {
  return new ToolError({
    code: 'filesystem.views-differ',
    message: `${volume} (${kind}) has another size on ${target}, and no two views of it are alike: they cannot be compared`,
    hint: 'Use clone --verify, which checks the target against the digests of what was written there',
    details: { volume, kind, target },
  });
}

/** `said`: the last lines of what the program printed. */
export function programFailed(
  program: string,
  purpose: string,
  { status, said }: { status: number | string; said: readonly string[] },
): ToolError {
  const words = said.length > 0 ? `: ${said.join('; ').replace(/[.\s]+$/, '')}` : '';
  return new ToolError({
    code: 'filesystem.program-failed',
    message: `cannot ${purpose}: ${program} ended with ${status}${words}`,
    hint: 'Check the file system with its own checker, and clone it at its present size if this goes on',
    details: { program, purpose, status, said },
  });
}

export function programTooSlow(program: string, purpose: string, seconds: number): ToolError {
  return new ToolError({
    code: 'filesystem.program-too-slow',
    message: `cannot ${purpose}: ${program} had not ended after ${seconds} seconds`,
    hint: 'Check that the source disk still answers and that the scratch folder has room, then try again',
    details: { program, purpose, seconds },
  });
}

export function resizeUnsupported(volume: string, kind: string, reason: string): ToolError {
  return new ToolError({
    code: 'filesystem.resize-unsupported',
    message: `${volume} (${kind}) cannot be given another size: ${reason}`,
    hint: 'Clone it at its present size, or make a new file system and copy the files',
    details: { volume, kind, reason },
  });
}

export function belowMinimum(
  volume: string,
  kind: string,
  { wanted, minimum, reason }: { wanted: Bytes; minimum: Bytes; reason: string },
): ToolError {
  return new ToolError({
    code: 'filesystem.below-minimum',
    message: `${volume} (${kind}) does not fit in ${formatBytesExact(wanted)}: it needs ${formatBytesExact(minimum)} (${reason})`,
    hint: 'Choose a larger size, or delete files on the source first',
    details: { volume, kind, wanted, minimum, reason },
  });
}

/** The tool said it was done, but what the view holds is something else. */
export function reshapeUnproven(volume: string, kind: string, found: string): ToolError {
  return new ToolError({
    code: 'filesystem.reshape-unproven',
    message: `${volume} (${kind}) is not what it should be after its size was changed: ${found}`,
    hint: 'Check the file system with its own checker, or clone it at its present size',
    details: { volume, kind, found },
  });
}

/** The file system in the view cannot be mounted by this kernel. */
export function cannotMountView(volume: string, kind: string, said: string): ToolError {
  return new ToolError({
    code: 'filesystem.cannot-mount-view',
    message: `${volume} (${kind}) cannot be given another size: this kernel does not mount it (${said})`,
    hint: 'Run as root on a kernel that knows this file system, or clone it at its present size',
    details: { volume, kind, said },
  });
}

export function scratchUnusable(path: string, cause: unknown): ToolError {
  return new ToolError({
    code: 'device.scratch-unusable',
    message: `cannot work in the scratch folder ${path}: ${describeCause(cause)}`,
    hint: 'Make room there, or choose a folder that can be written',
    details: { path, errno: errnoOf(cause) },
    cause,
  });
}

/** Nothing was removed that something still uses. */
export function viewNotRemoved(folder: string, reason: string): ToolError {
  return new ToolError({
    code: 'device.view-not-removed',
    message: `the leftovers in ${folder} cannot be removed: ${reason}`,
    hint: 'Close what uses them (lsof tells), then run the same command again',
    details: { folder, reason },
  });
}

export function overlayDamaged(path: string, reason: string): ToolError {
  return new ToolError({
    code: 'device.overlay-damaged',
    message: `${path} is not a usable list of changes: ${reason}`,
    hint: 'Run the same command again: it makes the list anew',
    details: { path, reason },
  });
}

export function reshapeInterrupted(volume: string): ToolError {
  return new ToolError({
    code: 'interrupted.reshape',
    message: `stopped while ${volume} was prepared at its new size; neither source nor target was written`,
    hint: 'Run the same command again when you like',
    details: { volume },
  });
}
