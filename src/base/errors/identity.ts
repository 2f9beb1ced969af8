// Errors of clones that get identities of their own (`--identity new`).

import { ToolError } from '../tool-error.js';

/** `where`: what of Windows was found, and on which volume. */
export function twinOfWindows(disk: string, where: readonly string[]): ToolError {
  return new ToolError({
    code: 'safety.twin-of-windows',
    message:
      `${disk} cannot be cloned with new identities: it holds Windows (${where.join('; ')}), whose boot configuration and ` +
      'registry name the disk and its partitions by their old IDs',
    hint: 'Clone it with --identity keep, and do not attach both disks to one computer at the same time',
    details: { disk, where },
  });
}

export function newIdUnsupported(volume: string, kind: string, reason: string): ToolError {
  return new ToolError({
    code: 'filesystem.new-id-unsupported',
    message: `${volume} (${kind}) cannot be given a new ID: ${reason}`,
    hint: 'Clone it with --identity keep, and do not attach both disks to one computer at the same time',
    details: { volume, kind, reason },
  });
}

/** The ID was written, but the volume does not show it. */
export function newIdUnproven(
  volume: string,
  kind: string,
  { wanted, found }: { wanted: string; found: string },
): ToolError {
  return new ToolError({
    code: 'filesystem.new-id-unproven',
    message: `${volume} (${kind}) should have the ID ${wanted} now, but it shows ${found === '' ? 'none' : found}`,
    hint: 'Check the file system with its own checker, or clone it with --identity keep',
    details: { volume, kind, wanted, found },
  });
}

/** Verification of a twin needs the IDs that were drawn for it. */
export function identityUnknown(source: string): ToolError {
  return new ToolError({
    code: 'usage.identity-unknown',
    message: `no twin of ${source} is known on this target, so its IDs are not known either`,
    hint: 'Leave --identity out, or use clone --verify',
    details: { source },
  });
}
