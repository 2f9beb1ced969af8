// Moves the block groups of a small fresh file system into a tree of their own, as mkfs.btrfs -O block-group-tree of
// newer btrfs-progs does; the free space tree is left behind, so the result may be read and checked, not written.

import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { nodesOf, type PlacedNode, seal } from './btrfs-nodes.js';

const HEADER = 101;
const ITEM = 25;
const BLOCK_GROUP_TREE = 11;
const SUPERBLOCK = 65536;
const METADATA = 4n;

interface LeafItem {
  readonly objectid: bigint;
  readonly type: number;
  readonly offset: bigint;
  readonly data: Buffer;
}

/** The image has single metadata, and extent and root trees of one leaf each. */
export function moveBlockGroups(image: string, nodeSize: number): void {
  const nodes = nodesOf([image], nodeSize);
  const place = (tree: string): PlacedNode => {
    const [only, other] = nodes.filter(({ owner }) => owner === tree);
    if (!only || other) throw new Error(`${tree} is not one leaf`);
    return only;
  };
  const fd = openSync(image, 'r+');
  const load = (offset: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, offset);
    return bytes;
  };
  const store = (bytes: Buffer, offset: number): void => {
    seal(bytes, 0);
    writeSync(fd, bytes, 0, bytes.length, offset);
  };
  try {
    const extentPlace = place('EXTENT_TREE');
    const extentLeaf = load(extentPlace.offset, nodeSize);
    const items = itemsOf(extentLeaf);
    const groups = items.filter(({ type }) => type === 192);
    const metadata = groups.find(({ data }) => (data.readBigUInt64LE(16) & METADATA) !== 0n);
    if (!metadata) throw new Error('no metadata block group');
    const logical = metadata.objectid + metadata.offset - BigInt(nodeSize);
    metadata.data.writeBigUInt64LE(metadata.data.readBigUInt64LE(0) + BigInt(nodeSize), 0);

    const added = { objectid: logical, type: 169, offset: 0n, data: treeBlockItem(extentLeaf) };
    const rest = [...items.filter(({ type }) => type !== 192), added];
    const groupLeaf = buildLeaf(extentLeaf, groups);
    groupLeaf.writeBigUInt64LE(logical, 0x30);
    groupLeaf.writeBigUInt64LE(BigInt(BLOCK_GROUP_TREE), 0x58);
    const shift = Number(logical - extentLeaf.readBigUInt64LE(0x30));
    store(groupLeaf, extentPlace.offset + shift);
    store(buildLeaf(extentLeaf, rest), extentPlace.offset);

    const rootPlace = place('ROOT_TREE');
    const rootLeaf = load(rootPlace.offset, nodeSize);
    const roots = itemsOf(rootLeaf);
    const extentRoot = roots.find(({ objectid, type }) => objectid === 2n && type === 132);
    if (!extentRoot) throw new Error('no extent tree');
    const data = Buffer.from(extentRoot.data);
    data.writeBigUInt64LE(logical, 176);
    store(
      buildLeaf(rootLeaf, [...roots, { ...extentRoot, objectid: BigInt(BLOCK_GROUP_TREE), data }]),
      rootPlace.offset,
    );

    const superblock = load(SUPERBLOCK, 4096);
    superblock.writeBigUInt64LE(superblock.readBigUInt64LE(0xb4) | 8n, 0xb4);
    superblock.writeBigUInt64LE(superblock.readBigUInt64LE(0x78) + BigInt(nodeSize), 0x78);
    store(superblock, SUPERBLOCK);
  } finally {
    closeSync(fd);
  }
}

function itemsOf(leaf: Buffer): LeafItem[] {
  return Array.from({ length: leaf.readUInt32LE(0x60) }, (_, index) => {
    const at = HEADER + index * ITEM;
    const start = HEADER + leaf.readUInt32LE(at + 17);
    return {
      objectid: leaf.readBigUInt64LE(at),
      type: leaf.readUInt8(at + 8),
      offset: leaf.readBigUInt64LE(at + 9),
      data: Buffer.from(leaf.subarray(start, start + leaf.readUInt32LE(at + 21))),
    };
  });
}

function buildLeaf(like: Buffer, items: readonly LeafItem[]): Buffer {
  const leaf = Buffer.alloc(like.length);
  like.copy(leaf, 0, 0, HEADER);
  leaf.writeUInt32LE(items.length, 0x60);
  const sorted = [...items].sort(
    (a, b) => Number(a.objectid - b.objectid) || a.type - b.type || Number(a.offset - b.offset),
  );
  let end = leaf.length;
  for (const [index, { objectid, type, offset, data }] of sorted.entries()) {
    const at = HEADER + index * ITEM;
    end -= data.length;
    leaf.writeBigUInt64LE(objectid, at);
    leaf.writeUInt8(type, at + 8);
    leaf.writeBigUInt64LE(offset, at + 9);
    leaf.writeUInt32LE(end - HEADER, at + 17);
    leaf.writeUInt32LE(data.length, at + 21);
    data.copy(leaf, end);
  }
  return leaf;
}

/** One reference, from the block group tree; the generation is the leaf's. */
function treeBlockItem(leaf: Buffer): Buffer {
  const data = Buffer.alloc(33);
  data.writeBigUInt64LE(1n, 0);
  leaf.copy(data, 8, 0x50, 0x58);
  data.writeBigUInt64LE(2n, 16);
  data.writeUInt8(176, 24);
  data.writeBigUInt64LE(BigInt(BLOCK_GROUP_TREE), 25);
  return data;
}
