// When a file last changed, by its own stamps.
// Invariant: a stamp that the clock has outgrown says nothing; the file counts as changed at any time.
// Source: "XFS Algorithms & Data Structures", timestamps; kernel fs/xfs/libxfs/xfs_format.h (bigtime).

const At = { version: 4, modified: 40, changed: 48, flags2: 124 } as const;
/** Stamps are one number of nanoseconds. */
const FLAG2_BIG_TIME = 0x8;
const BIG_TIME_VERSION = 3;
/** Where the nanoseconds begin: the earliest second that 32 bits can say. */
const BIG_TIME_START_MS = -(2 ** 31) * 1000;
/** Later stamps are all the same: that of the last second there is. */
const LAST = { seconds: 2 ** 31 - 1, nanosecondsHigh: 0xfffffffe } as const;
const FIRST = { seconds: -(2 ** 31) } as const;

/** The newest of change and modification in milliseconds since 1970; Infinity: unknown. Of an inode that is one. */
export function changedAt(raw: Buffer): number {
  const big = raw.readUInt8(At.version) >= BIG_TIME_VERSION && (raw.readUInt32BE(At.flags2) & FLAG2_BIG_TIME) !== 0;
  const stamp = big ? bigStamp : stampOf;
  return Math.max(stamp(raw, At.modified), stamp(raw, At.changed));
}

function stampOf(raw: Buffer, at: number): number {
  const seconds = raw.readInt32BE(at);
  if (seconds === LAST.seconds || seconds === FIRST.seconds) return Number.POSITIVE_INFINITY;
  return seconds * 1000 + raw.readUInt32BE(at + 4) / 1e6;
}

/** A double is exact to a few microseconds here. */
function bigStamp(raw: Buffer, at: number): number {
  const high = raw.readUInt32BE(at);
  const low = raw.readUInt32BE(at + 4);
  if (high >= LAST.nanosecondsHigh || (high === 0 && low === 0)) return Number.POSITIVE_INFINITY;
  return (high * 2 ** 32 + low) / 1e6 + BIG_TIME_START_MS;
}
