// Whether a system may have crashed with the source since the last run: then data that was forced out to the disk may have
// changed while the inode with its new time stamp was lost with the journal's end.
// Invariant: true only on evidence; a file system that keeps none may have been in a crash.

import type { FilesystemInfo } from '../filesystem/plugin.js';
import type { CatalogueHead } from '../state/catalogue.js';

export interface CrashQuestion {
  /** Of the last run. */
  readonly head: Pick<CatalogueHead, 'mounts' | 'boot'>;
  /** As of now: clean, or frozen. */
  readonly filesystem: FilesystemInfo;
  /** Of a source in use: which start of this system it is. */
  readonly boot: string | undefined;
}

/** True if it is known that none happened, or that one would have left no change without a trace. */
export function excludesCrash({ head, filesystem, boot }: CrashQuestion): boolean {
  // Data with checksums is never written in place, and other data of btrfs has no records.
  if (filesystem.kind === 'btrfs') return true;
  const wasInUse = head.boot !== undefined;
  if (head.mounts === undefined || filesystem.mounts === undefined) return wasInUse && boot === head.boot;
  // A crash is followed by one mount more, which replays the journal. The mount that was in use may have ended in one, too.
  const since = filesystem.mounts - head.mounts;
  return since === 0 || (since === 1 && !wasInUse);
}
