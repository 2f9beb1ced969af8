// Gives a btrfs in a view another name, for a while or for good: the kernel must never see two devices of the same one.
// Invariant: only the superblocks change; tree blocks bear the metadata UUID, which stays. Undone, every byte is as before.
// Format: btrfs on-disk format documentation (Superblock); the same that `btrfstune -m` and `-M` do.

import { randomBytes } from 'node:crypto';
import { FormatError } from '../base/u64.js';
import { CHECKSUM_LENGTH, checksumOf, isIntact } from '../filesystem/btrfs/checksum.js';
import { SUPERBLOCK_LENGTH, SUPERBLOCK_OFFSETS } from '../filesystem/btrfs/superblock.js';
import { openDiskTarget } from '../source/disk.js';
import type { Target } from '../source/types.js';

const At = { fsid: 0x20, offset: 0x30, magic: 0x40, incompat: 0xbc, checksumType: 0xc4, metadataUuid: 0x23b } as const;
const MAGIC = '_BHRfS_M';
const UUID_LENGTH = 16;
const METADATA_UUID = 0x400n;

/** What `restore` puts back. */
export interface Identity {
  readonly fsid: Buffer;
  readonly metadataUuid: Buffer;
  readonly hasMetadataUuid: boolean;
}

/** Replaces the fsid by a random one, in every superblock. */
export async function disguise(path: string): Promise<{ own: Identity; temporary: Buffer }> {
  const temporary = randomBytes(UUID_LENGTH);
  return { own: await rename(path, temporary), temporary };
}

/** Replaces the fsid in every superblock; returns what was there. Throws FormatError. */
export async function rename(path: string, fsid: Buffer): Promise<Identity> {
  let own: Identity | undefined;
  await eachSuperblock(path, (raw) => {
    own ??= identityOf(raw);
    if (!fsidOf(raw).equals(own.fsid)) return false;
    setIdentity(raw, {
      fsid,
      metadataUuid: own.hasMetadataUuid ? own.metadataUuid : own.fsid,
      hasMetadataUuid: true,
    });
    return true;
  });
  if (!own) throw new FormatError('no btrfs superblock');
  return own;
}

/** Puts the own identity back, also into superblocks that the kernel has made meanwhile. */
export async function restore(path: string, { own, temporary }: { own: Identity; temporary: Buffer }): Promise<void> {
  await eachSuperblock(path, (raw) => {
    if (!fsidOf(raw).equals(temporary)) return false;
    setIdentity(raw, own);
    return true;
  });
}

/** Calls `change` with each intact superblock, the first one first; writes it back, sealed, if the result is true. */
async function eachSuperblock(path: string, change: (raw: Buffer) => boolean): Promise<void> {
  const view = openDiskTarget(path, { direct: false });
  try {
    for (const offset of SUPERBLOCK_OFFSETS) {
      const raw = await superblockAt(view, offset);
      if (!raw || !change(raw)) continue;
      const checksum = checksumOf(raw.subarray(CHECKSUM_LENGTH), raw.readUInt16LE(At.checksumType));
      if (!checksum) throw new FormatError('an unknown kind of checksum');
      raw.fill(0, 0, CHECKSUM_LENGTH);
      checksum.copy(raw);
      await view.write(raw, offset);
    }
    await view.flush();
  } finally {
    await view.close();
  }
}

async function superblockAt(view: Target, offset: number): Promise<Buffer | undefined> {
  if (view.size < offset + SUPERBLOCK_LENGTH) return undefined;
  const raw = Buffer.alloc(SUPERBLOCK_LENGTH);
  await view.read(raw, offset);
  const isSuperblock =
    raw.toString('latin1', At.magic, At.magic + MAGIC.length) === MAGIC &&
    raw.readBigUInt64LE(At.offset) === BigInt(offset) &&
    isIntact(raw, raw.readUInt16LE(At.checksumType));
  return isSuperblock ? raw : undefined;
}

function fsidOf(raw: Buffer): Buffer {
  return raw.subarray(At.fsid, At.fsid + UUID_LENGTH);
}

function identityOf(raw: Buffer): Identity {
  return {
    fsid: Buffer.from(fsidOf(raw)),
    metadataUuid: Buffer.from(raw.subarray(At.metadataUuid, At.metadataUuid + UUID_LENGTH)),
    hasMetadataUuid: (raw.readBigUInt64LE(At.incompat) & METADATA_UUID) !== 0n,
  };
}

function setIdentity(raw: Buffer, { fsid, metadataUuid, hasMetadataUuid }: Identity): void {
  fsid.copy(raw, At.fsid);
  metadataUuid.copy(raw, At.metadataUuid);
  const incompat = raw.readBigUInt64LE(At.incompat);
  raw.writeBigUInt64LE(hasMetadataUuid ? incompat | METADATA_UUID : incompat & ~METADATA_UUID, At.incompat);
}
