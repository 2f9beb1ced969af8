// Which file systems live on a disk with other sectors as they are.
// Invariant: none of them is changed here; smaller sectors than a file system is made for do no harm, larger ones forbid it.
// Facts: kernel fs/ext4/super.c and fs/xfs/xfs_super.c refuse blocks (sectors) smaller than the device's; measured with
// loop devices of 4096-byte sectors.

import { notMovable, sectorSizeStays } from '../../base/errors/after-move.js';
import { FormatError } from '../../base/u64.js';
import type { Bytes } from '../../base/units.js';
import { readSuperblock as readBtrfs } from '../../filesystem/btrfs/superblock.js';
import { readSuperblock as readExt } from '../../filesystem/ext4/superblock.js';
import { BLOCK as F2FS_BLOCK } from '../../filesystem/f2fs/superblock.js';
import { HEADER_LENGTH, parseSwapHeader } from '../../filesystem/swap/header.js';
import { readSuperblock as readXfs } from '../../filesystem/xfs/superblock.js';
import type { Source } from '../../source/types.js';
import { type Adaptation, kindOf, type Move, readAt, UNCHANGED } from './move.js';

const COPY_FILES = 'Make a new file system on the target and copy the files, or choose a target with smaller sectors';

interface Unit {
  /** The smallest piece the file system reads or writes; undefined: its superblock cannot be found. */
  readonly size: (volume: Source) => Promise<Bytes | undefined>;
  readonly name: string;
}

const BLOCKS_OF_EXT: Unit = { name: 'blocks', size: async (volume) => (await readExt(volume))?.blockSize };

const UNITS: Readonly<Record<string, Unit>> = {
  ext2: BLOCKS_OF_EXT,
  ext3: BLOCKS_OF_EXT,
  ext4: BLOCKS_OF_EXT,
  xfs: { name: 'sectors', size: async (volume) => (await readXfs(volume))?.sectorSize },
  btrfs: { name: 'blocks', size: async (volume) => (await readBtrfs(volume))?.sectorSize },
  // Its superblock says "sectors of 512" and the kernel does not mind: it reads and writes blocks only.
  f2fs: { name: 'blocks', size: async () => F2FS_BLOCK },
  swap: { name: 'pages', size: readPageSize },
};

/** What stands for content that cannot be seen; the sentence goes on with what that may mean on larger sectors. */
const CONTAINERS: Readonly<Record<string, string>> = {
  crypto_LUKS: 'it opens there, but a file system inside with blocks or sectors smaller than that cannot be mounted',
  LVM2_member: 'file systems in it with blocks or sectors smaller than that cannot be mounted',
  linux_raid_member: 'file systems in it with blocks or sectors smaller than that cannot be mounted',
  zfs_member: 'a pool that was made for sectors of 512 bytes (ashift 9) cannot be imported',
};

/** For everything but NTFS and the FATs. Throws `sectorSizeStays`, or `notMovable` if the superblock is damaged. */
export async function checkSectorSize(move: Move): Promise<Adaptation> {
  const { volume, source, target } = move;
  const kind = kindOf(move);
  const grows = target.sectorSize > source.sectorSize;
  const unit = UNITS[kind];
  if (unit) return grows ? checkUnit(move, unit) : UNCHANGED;
  if (kind === 'BitLocker') {
    throw sectorSizeStays(volume.name, kind, {
      sectorSize: target.sectorSize,
      reason:
        'the file system inside counts in sectors of the old size, and nobody can change it while it is encrypted',
      advice: 'Decrypt the volume in Windows first, or choose a target with sectors of the same size',
    });
  }
  const meaning = CONTAINERS[kind];
  if (meaning !== undefined && !grows) return UNCHANGED;
  const change = `${volume.name} (${kind}) moves from sectors of ${source.sectorSize} bytes to sectors of ${target.sectorSize}`;
  return { patches: [], notes: [`${change}: ${meaning ?? 'whether it can be used there is not known'}`] };
}

async function checkUnit(move: Move, { name, size }: Unit): Promise<Adaptation> {
  const { volume, target } = move;
  const kind = kindOf(move);
  const found = await orDamaged(move, () => size(volume));
  if (found === undefined) throw notMovable(volume.name, kind, 'its superblock cannot be found');
  if (found >= target.sectorSize) return UNCHANGED;
  throw sectorSizeStays(volume.name, kind, {
    sectorSize: target.sectorSize,
    reason: `its ${name} have ${found} bytes, and it cannot be converted`,
    advice: COPY_FILES,
  });
}

/** A FormatError of a parser, in the user's words. */
export async function orDamaged<T>(move: Move, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw notMovable(move.volume.name, kindOf(move), error.message);
  }
}

async function readPageSize(volume: Source): Promise<Bytes | undefined> {
  return parseSwapHeader(await readAt(volume, 0, Math.min(HEADER_LENGTH, volume.size)))?.pageSize;
}
