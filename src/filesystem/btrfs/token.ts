// The token of a btrfs volume: a digest of what every commit and every repair changes.
// Invariant: equal tokens mean that nothing was committed in between. Each commit has a new generation and a new root of
// the root tree; both are in the superblock, and the root tree's root bears the checksums of nothing but its own moment.
// A mount that changes nothing commits nothing, and neither does paging to a swap file.

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { readChunks } from './chunk-map.js';
import type { Superblock } from './superblock.js';
import { openTree, TreeId } from './tree.js';

/** 16 bytes. A root that cannot be read adds nothing: the superblock alone changes with every commit. */
export async function tokenOf(volume: Source, superblock: Superblock): Promise<Buffer> {
  const stream = new DigestStream();
  stream.add(superblock.raw);
  stream.add((await rootOrNothing(volume, superblock)) ?? Buffer.alloc(0));
  return stream.finish();
}

async function rootOrNothing(volume: Source, superblock: Superblock): Promise<Buffer | undefined> {
  try {
    const { nodes } = await readChunks(volume, superblock);
    return (await nodes.read(openTree(nodes, TreeId.ROOT, superblock.root).root)).bytes;
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
