// A superblock by hand, for tests that need no tools: 64 MiB of ext2 with 1 KiB blocks unless told otherwise.

import { memoryTarget } from '../../src/source/memory.js';
import type { Source } from '../../src/source/types.js';
import { sealSuperblock } from './ext4-image.js';

/** Offsets of the fields that tests change. */
export const Field = {
  inodeCount: 0x00,
  blockCount: 0x04,
  freeBlockCount: 0x0c,
  firstDataBlock: 0x14,
  logBlockSize: 0x18,
  logClusterSize: 0x1c,
  blocksPerGroup: 0x20,
  clustersPerGroup: 0x24,
  inodesPerGroup: 0x28,
  mountTime: 0x2c,
  writeTime: 0x30,
  magic: 0x38,
  state: 0x3a,
  revision: 0x4c,
  inodeSize: 0x58,
  compat: 0x5c,
  incompat: 0x60,
  roCompat: 0x64,
  uuid: 0x68,
  label: 0x78,
  descriptorSize: 0xfe,
  blockCountHigh: 0x150,
  freeBlockCountHigh: 0x158,
  checksumType: 0x175,
} as const;

const NARROW: readonly number[] = [Field.magic, Field.state, Field.inodeSize, Field.descriptorSize];

const DEFAULTS: Readonly<Partial<Record<keyof typeof Field, number>>> = {
  inodeCount: 8 * 2048,
  blockCount: 65536,
  freeBlockCount: 60000,
  firstDataBlock: 1,
  blocksPerGroup: 8192,
  clustersPerGroup: 8192,
  inodesPerGroup: 2048,
  magic: 0xef53,
  state: 1,
  revision: 1,
  inodeSize: 128,
  incompat: 0x2,
  roCompat: 0x3,
};

/** The 1024 bytes, with `changes` in place of the defaults and the checksum made right if there is one. */
export function buildSuperblock(changes: Partial<Record<keyof typeof Field, number>> = {}): Buffer {
  const raw = Buffer.alloc(1024);
  for (const [name, value] of Object.entries({ ...DEFAULTS, ...changes })) {
    const offset = Field[name as keyof typeof Field];
    if (offset === Field.checksumType) raw.writeUInt8(value, offset);
    else if (NARROW.includes(offset)) raw.writeUInt16LE(value, offset);
    else raw.writeUInt32LE(value, offset);
  }
  sealSuperblock(raw);
  return raw;
}

/** A volume that claims `size` bytes, has the superblock in its place and zeros everywhere else. */
export function volumeWith(superblock: Buffer, size = 64 * 1024 * 1024): Source {
  const head = Buffer.alloc(2048);
  superblock.copy(head, 1024);
  const held = memoryTarget(head);
  return {
    ...held,
    size,
    async read(into, offset) {
      into.fill(0);
      head.copy(into, 0, Math.min(offset, head.length), Math.min(offset + into.length, head.length));
    },
  };
}
