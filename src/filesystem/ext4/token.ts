// The token of an ext2/3/4 volume: a digest of what every writing mount and every repair changes.
// Invariant: equal tokens mean that no kernel mounted the volume for writing in between. A mount counts itself and stamps
// the superblock, and starts a new sequence in the journal superblock; tools stamp the superblock when they write.

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { readJournalSuperblock } from './journal.js';
import type { Superblock } from './superblock.js';

/** 16 bytes. A journal that cannot be found adds nothing: the superblock alone changes with every mount. */
export async function tokenOf(volume: Source, superblock: Superblock): Promise<Buffer> {
  const stream = new DigestStream();
  stream.add(superblock.raw);
  stream.add((await journalOrNothing(volume, superblock)) ?? Buffer.alloc(0));
  return stream.finish();
}

async function journalOrNothing(volume: Source, superblock: Superblock): Promise<Buffer | undefined> {
  try {
    return await readJournalSuperblock(volume, superblock);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
