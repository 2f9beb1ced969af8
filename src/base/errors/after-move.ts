// Errors about volumes that do not fit the place they are to move to (exit status 5).

import { ToolError } from '../tool-error.js';
import type { Bytes } from '../units.js';

/** The file system or container is made for other sectors than the target has. */
export function sectorSizeStays(
  volume: string,
  kind: string,
  { sectorSize, reason, advice }: { sectorSize: Bytes; reason: string; advice: string },
): ToolError {
  return new ToolError({
    code: 'filesystem.sector-size-stays',
    message: `${volume} (${kind}) cannot move to a disk with sectors of ${sectorSize} bytes: ${reason}`,
    hint: advice,
    details: { volume, kind, sectorSize, reason },
  });
}

/** What would have to be changed in the volume cannot be found or contradicts itself. */
export function notMovable(volume: string, kind: string, reason: string): ToolError {
  return new ToolError({
    code: 'filesystem.not-movable',
    message: `${volume} (${kind}) cannot be adapted to its new place on the target: ${reason}`,
    hint: "Repair it on the source with the file system's own checker, or leave it out with --only",
    details: { volume, kind, reason },
  });
}

export function cannotRebuild(volume: string, reason: string): ToolError {
  return new ToolError({
    code: 'filesystem.cannot-rebuild',
    message: `${volume} (FAT) cannot be made anew for the target: ${reason}`,
    hint: 'Give its partition another size on the target, or make the file system by hand and copy its files',
    details: { volume, reason },
  });
}

/** The new file system was read back, and is not what the old one was. */
export function rebuildDiffers(volume: string, path: string, what: string): ToolError {
  return new ToolError({
    code: 'filesystem.rebuild-differs',
    message: `${volume} (FAT) was made anew for the target, but ${path} there ${what}`,
    hint: 'Check the file system on the source with fsck.fat, then start again; the target was not touched',
    details: { volume, path, what },
  });
}
