// The token of an XFS volume: a digest of what every writing mount and every repair changes.
// Invariant: equal tokens mean that no kernel mounted the volume for writing in between: each such mount writes a new
// unmount record, or leaves the records of what it did. xfs_repair renews the headers of all groups; only a second one
// without a mount in between that mends inodes alone goes unseen.

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { readGroupSectors } from './group-headers.js';
import { readLogHead } from './log.js';
import { isTruncated, type Superblock } from './superblock.js';

/** 16 bytes. Throws FormatError for a volume whose log is elsewhere, or has no record: such a volume has no token. */
export async function tokenOf(volume: Source, superblock: Superblock): Promise<Buffer> {
  const { log, groupCount } = superblock;
  if (isTruncated(superblock, volume)) throw new FormatError('the file system is larger than its volume');
  const head = log && (await readLogHead(volume, superblock, log));
  if (!head) throw new FormatError('the log has no record of this file system');
  const stream = new DigestStream();
  stream.add(superblock.raw);
  stream.add(head.header);
  for (let group = 0; group < groupCount; group += 1) stream.add(await readGroupSectors(volume, superblock, group));
  return stream.finish();
}
