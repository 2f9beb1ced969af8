// Where btrfs-progs finds the tree blocks of an image; and how to make a changed block's checksum right again.

import { createHash } from 'node:crypto';
import xxhash from 'xxhash-addon';
import { crc32c } from '../../src/base/checksum.js';
import { chunksIn, placesOf } from './btrfs-oracle.js';
import { run } from './run.js';

/** A copy of a tree block. */
export interface PlacedNode {
  readonly offset: number;
  readonly length: number;
  /** As dump-tree calls it: `EXTENT_TREE`. */
  readonly owner: string;
  readonly leaf: boolean;
}

/** Every copy of every block of every tree that lies on the first of these images (all of the file system's devices). */
export function nodesOf(images: readonly string[], length: number): PlacedNode[] {
  const dump = (...args: string[]): string => run('btrfs', ['inspect-internal', 'dump-tree', ...args, ...images]);
  const chunks = chunksIn(dump('-t', 'chunk'));
  const nodes: PlacedNode[] = [];
  for (const [, kind, logical, owner] of dump().matchAll(/^(leaf|node) (\d+) .* owner (\S+)$/gm)) {
    const address = Number(logical);
    const chunk = chunks.find((each) => address >= each.logical && address < each.logical + each.length);
    if (!chunk) throw new Error(`no chunk holds ${logical}`);
    for (const { offset } of placesOf(chunk, address - chunk.logical, 1)) {
      nodes.push({ offset, length, owner: owner ?? '', leaf: kind === 'leaf' });
    }
  }
  return nodes;
}

/** Makes the checksum of a superblock or tree block right; types 0 (crc32c), 1 (xxhash) and 2 (sha256). */
export function seal(block: Buffer, checksumType: number): void {
  const covered = block.subarray(32);
  block.fill(0, 0, 32);
  if (checksumType === 0) block.writeUInt32LE(crc32c(covered), 0);
  else if (checksumType === 1) xxhash.XXHash64.hash(covered).reverse().copy(block, 0);
  else createHash('sha256').update(covered).digest().copy(block, 0);
}
