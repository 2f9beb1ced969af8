// What all tools of ext2/3/4 need before they change anything: a clock that stands still, and a check.
// Invariant: the clock stands at the file system's own last change, so the same source gives the same view.

import { FormatError } from '../base/u64.js';
import { readSuperblock, type Superblock } from '../filesystem/ext4/superblock.js';
import type { Source } from '../source/types.js';
import type { Workbench } from './overlay.js';
import { LONG_LIMIT_SECONDS } from './program.js';

/** s_lastcheck, and the high byte of it (kernel Documentation/filesystems/ext4/super.rst). */
const LAST_CHECK = 0x40;
const LAST_CHECK_HIGH = 0x277;
/** e2fsck: 0 sound, 1 small things put right; from 2 on somebody has to look at it. */
const SOUND = [0, 1];

export type Clock = Readonly<Record<string, string>>;

/** As environment of the tools. */
export function clockOf({ raw, lastWritten }: Superblock): Clock {
  const checked = raw.readUInt32LE(LAST_CHECK) + raw.readUInt8(LAST_CHECK_HIGH) * 2 ** 32;
  const now = `${Math.max(1, Math.floor((lastWritten?.getTime() ?? 0) / 1000), checked)}`;
  // Which of them counts depends on the version of e2fsprogs.
  return { E2FSPROGS_FAKE_TIME: now, E2FSCK_TIME: now, SOURCE_DATE_EPOCH: now };
}

/** The tools demand that it was just checked. What e2fsck may not put right by itself ends the run: throws ToolError. */
export async function checkExt(bench: Workbench, { env, before }: { env: Clock; before: string }): Promise<void> {
  const { status } = await bench.run('e2fsck', ['-f', '-p', bench.path], {
    purpose: `check ${bench.volume} before ${before}`,
    env,
    accept: SOUND,
    limitSeconds: LONG_LIMIT_SECONDS,
  });
  if (status !== 0) bench.note('e2fsck put small things right in the copy; the source keeps them');
}

/** Throws FormatError. */
export async function requireExt(source: Source): Promise<Superblock> {
  const superblock = await readSuperblock(source);
  if (!superblock) throw new FormatError('no ext superblock');
  return superblock;
}
