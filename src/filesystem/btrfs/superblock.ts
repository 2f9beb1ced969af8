// The superblock of btrfs: 4096 bytes at 64 KiB, with mirrors at 64 MiB and 256 GiB.
// Invariant: every number in a `Superblock` is within its format's bounds. Only the first copy makes a volume btrfs:
// mirrors outlive a new file system of another kind.
// Source: btrfs on-disk format documentation (Superblock); kernel fs/btrfs/disk-io.c (btrfs_validate_super).

import { FormatError, readU64LE } from '../../base/u64.js';
import { type Bytes, GiB, KiB, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { isIntact } from './checksum.js';
import { type Features, hasMetadataUuid } from './features.js';

export const SUPERBLOCK_LENGTH = 4096;
const PRIMARY = 64 * KiB;
const MIRRORS: readonly Bytes[] = [64 * MiB, 256 * GiB];
export const SUPERBLOCK_OFFSETS: readonly Bytes[] = [PRIMARY, ...MIRRORS];

const MAGIC = '_BHRfS_M';
const MAX_LEVEL = 8;
const SYSTEM_CHUNKS_LENGTH = 2048;
const UUID_LENGTH = 16;
const LABEL_LENGTH = 256;

const At = {
  fsid: 0x20,
  offset: 0x30,
  flags: 0x38,
  magic: 0x40,
  generation: 0x48,
  root: 0x50,
  chunkRoot: 0x58,
  logRoot: 0x60,
  totalBytes: 0x70,
  bytesUsed: 0x78,
  deviceCount: 0x88,
  sectorSize: 0x90,
  nodeSize: 0x94,
  systemChunksLength: 0xa0,
  chunkRootGeneration: 0xa4,
  compatRo: 0xb4,
  incompat: 0xbc,
  checksumType: 0xc4,
  rootLevel: 0xc6,
  chunkRootLevel: 0xc7,
  deviceId: 0xc9,
  deviceSize: 0xc9 + 8,
  deviceUuid: 0xc9 + 66,
  label: 0x12b,
  metadataUuid: 0x23b,
  systemChunks: 0x32b,
} as const;

/** Where a tree begins, and what its first block must say of itself. */
export interface RootPointer {
  readonly logical: Bytes;
  readonly generation: number;
  readonly level: number;
}

export interface Superblock extends Features {
  readonly raw: Buffer;
  /** False if the first copy is damaged: its checksum is wrong, or these are a mirror's numbers. */
  readonly intact: boolean;
  readonly fsid: Buffer;
  /** What the headers of tree blocks bear. */
  readonly metadataUuid: Buffer;
  readonly label: string;
  readonly root: RootPointer;
  readonly chunkRoot: RootPointer;
  /** 0 unless writes that were fsynced wait in log trees. */
  readonly logRoot: Bytes;
  /** Of all devices, logical: data that lies twice counts once. */
  readonly bytesUsed: Bytes;
  readonly deviceCount: number;
  readonly deviceId: number;
  readonly deviceUuid: Buffer;
  /** Of this device, as the file system uses it. */
  readonly deviceSize: Bytes;
  readonly sectorSize: Bytes;
  readonly nodeSize: Bytes;
  /** Enough chunks to read the chunk tree with. */
  readonly systemChunks: Buffer;
}

/** Undefined: no btrfs. Throws FormatError if its numbers are impossible and no mirror is better. */
export async function readSuperblock(volume: Source): Promise<Superblock | undefined> {
  const raw = await readCopy(volume, PRIMARY);
  if (!raw) return undefined;
  if (isIntact(raw, raw.readUInt16LE(At.checksumType))) return parse(raw, PRIMARY);
  const fsid = raw.subarray(At.fsid, At.fsid + UUID_LENGTH);
  const mirror = await newestMirror(volume, fsid);
  return { ...(mirror ?? parse(raw, PRIMARY)), intact: false };
}

/** The superblock of a volume that was recognised. Throws FormatError if it is gone by now. */
export async function demandSuperblock(volume: Source): Promise<Superblock> {
  const superblock = await readSuperblock(volume);
  if (!superblock) throw new FormatError('the btrfs superblock has gone');
  return superblock;
}

/** True if the file system says that this device is larger than the volume. */
export function isTruncated(superblock: Superblock, volume: Source): boolean {
  return superblock.deviceSize > volume.size;
}

async function readCopy(volume: Source, offset: Bytes): Promise<Buffer | undefined> {
  if (volume.size < offset + SUPERBLOCK_LENGTH) return undefined;
  const raw = Buffer.alloc(SUPERBLOCK_LENGTH);
  await volume.read(raw, offset);
  return raw.toString('latin1', At.magic, At.magic + MAGIC.length) === MAGIC ? raw : undefined;
}

async function newestMirror(volume: Source, fsid: Buffer): Promise<Superblock | undefined> {
  let newest: Superblock | undefined;
  for (const offset of MIRRORS) {
    const raw = await readCopy(volume, offset);
    if (!raw || !isIntact(raw, raw.readUInt16LE(At.checksumType))) continue;
    try {
      const found = parse(raw, offset);
      if (found.fsid.equals(fsid) && found.root.generation > (newest?.root.generation ?? -1)) newest = found;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return newest;
}

function parse(raw: Buffer, offset: Bytes): Superblock {
  demand(readU64LE(raw, At.offset) === offset, 'it belongs elsewhere');
  const incompat = raw.readBigUInt64LE(At.incompat);
  const fsid = raw.subarray(At.fsid, At.fsid + UUID_LENGTH);
  const metadataUuid = raw.subarray(At.metadataUuid, At.metadataUuid + UUID_LENGTH);
  const bytesUsed = readU64LE(raw, At.bytesUsed);
  demand(bytesUsed <= readU64LE(raw, At.totalBytes), 'it uses more than it has');
  const deviceCount = readU64LE(raw, At.deviceCount);
  demand(deviceCount > 0, 'it has no devices');
  const systemChunksLength = raw.readUInt32LE(At.systemChunksLength);
  demand(systemChunksLength <= SYSTEM_CHUNKS_LENGTH, `its system chunk array has ${systemChunksLength} bytes`);
  return {
    ...parseSizes(raw),
    ...parseRoots(raw),
    raw,
    intact: true,
    incompat,
    compatRo: raw.readBigUInt64LE(At.compatRo),
    flags: raw.readBigUInt64LE(At.flags),
    checksumType: raw.readUInt16LE(At.checksumType),
    fsid,
    metadataUuid: hasMetadataUuid({ incompat }) ? metadataUuid : fsid,
    label: textAt(raw, At.label),
    logRoot: readU64LE(raw, At.logRoot),
    bytesUsed,
    deviceCount,
    deviceId: readU64LE(raw, At.deviceId),
    deviceUuid: raw.subarray(At.deviceUuid, At.deviceUuid + UUID_LENGTH),
    systemChunks: raw.subarray(At.systemChunks, At.systemChunks + systemChunksLength),
  };
}

function parseSizes(raw: Buffer): Pick<Superblock, 'sectorSize' | 'nodeSize' | 'deviceSize'> {
  const sectorSize = raw.readUInt32LE(At.sectorSize);
  const nodeSize = raw.readUInt32LE(At.nodeSize);
  const possible = (size: number): boolean => size >= 4 * KiB && size <= 64 * KiB && (size & (size - 1)) === 0;
  demand(possible(sectorSize), `its sectors have ${sectorSize} bytes`);
  demand(possible(nodeSize) && nodeSize >= sectorSize, `its tree blocks have ${nodeSize} bytes`);
  const deviceSize = readU64LE(raw, At.deviceSize);
  demand(deviceSize >= PRIMARY + SUPERBLOCK_LENGTH, `its device has ${deviceSize} bytes`);
  return { sectorSize, nodeSize, deviceSize };
}

function parseRoots(raw: Buffer): Pick<Superblock, 'root' | 'chunkRoot'> {
  const root = {
    logical: readU64LE(raw, At.root),
    generation: readU64LE(raw, At.generation),
    level: raw.readUInt8(At.rootLevel),
  };
  const chunkRoot = {
    logical: readU64LE(raw, At.chunkRoot),
    generation: readU64LE(raw, At.chunkRootGeneration),
    level: raw.readUInt8(At.chunkRootLevel),
  };
  demand(root.level < MAX_LEVEL && chunkRoot.level < MAX_LEVEL, 'its trees are too deep');
  return { root, chunkRoot };
}

function textAt(raw: Buffer, offset: number): string {
  const field = raw.subarray(offset, offset + LABEL_LENGTH);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? LABEL_LENGTH : end);
}

function demand(condition: boolean, otherwise: string): void {
  if (!condition) throw new FormatError(`the btrfs superblock is damaged: ${otherwise}`);
}
