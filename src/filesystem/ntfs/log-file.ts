// $LogFile: whether Windows closed the volume, and whether it kept metadata to itself when it did.
// Invariant: a log that cannot be understood is not clean.
// Format and rules: ntfs-3g logfile.c (ntfs_check_logfile, ntfs_is_logfile_clean) and volume.c (version 2.0).

import { FormatError, readU64LE } from '../../base/u64.js';
import { type Bytes, KiB } from '../../base/units.js';
import { applyFixups } from './fixups.js';
import { type NtfsVolume, readStream, type Stream } from './stream.js';

/** Both restart pages lie in it, whatever their size. */
export const LOG_HEAD: Bytes = 64 * KiB;

/** `clean`; `open`: not closed; `cached`: metadata may live in a hibernated Windows; `damaged`: nobody can tell. */
export type LogState = 'clean' | 'open' | 'cached' | 'damaged';

const EMPTY = 0xffffffff;
const RESTART_MAGICS = ['RSTR', 'CHKD'];
/** What Windows writes over a page whose update sequence failed. */
const BAD_MAGIC = 'BAAD';
const RECORD_MAGIC = 'RCRD';
const FIRST_STEP = 512;
const PAGE = { chkdskLsn: 8, pageSize: 16, areaOffset: 24, minor: 26, major: 28, headerLength: 30 } as const;
const AREA = { currentLsn: 0, clientInUse: 12, flags: 14, length: 16 } as const;
const NO_CLIENT = 0xffff;
const CLEAN_FLAG = 2;
const FAST_START_VERSION = '2.0';

interface RestartPage {
  readonly size: Bytes;
  readonly lsn: number;
  readonly closed: boolean;
  readonly version: string;
}

/** The first bytes of the log: its restart pages and a little more. */
export async function readLogHead(volume: NtfsVolume, log: Stream): Promise<Buffer> {
  const head = Buffer.alloc(Math.min(log.size, LOG_HEAD));
  await readStream(volume, log, head, 0);
  return head;
}

/** Judges the log by its head. */
export function logStateOf(head: Buffer): LogState {
  const pages: RestartPage[] = [];
  let empty = true;
  for (let next = 0; pages.length < 2 && next + FIRST_STEP <= head.length; ) {
    const at = next;
    next = at === 0 ? FIRST_STEP : at * 2;
    if (head.readUInt32LE(at) === EMPTY) {
      if (empty) continue;
      break;
    }
    empty = false;
    const magic = head.toString('latin1', at, at + 4);
    if (magic === RECORD_MAGIC) break;
    if (magic === BAD_MAGIC) return 'damaged';
    if (!RESTART_MAGICS.includes(magic)) continue;
    const page = parsePage(head, at);
    if (!page) return 'damaged';
    pages.push(page);
    if (at === 0) next = page.size;
  }
  if (empty && head.length >= FIRST_STEP) return 'clean';
  const newest = pages.sort((a, b) => b.lsn - a.lsn)[0];
  if (!newest) return 'damaged';
  if (newest.version === FAST_START_VERSION) return 'cached';
  return newest.closed ? 'clean' : 'open';
}

/** Undefined if the page was torn or contradicts itself. */
function parsePage(head: Buffer, at: number): RestartPage | undefined {
  const size = head.readUInt32LE(at + PAGE.pageSize);
  if (size < FIRST_STEP || size % FIRST_STEP !== 0 || at + size > head.length) return undefined;
  const page = Buffer.from(head.subarray(at, at + size));
  try {
    applyFixups(page, RESTART_MAGICS, '$LogFile');
    const areaOffset = page.readUInt16LE(PAGE.areaOffset);
    if (areaOffset < PAGE.headerLength || areaOffset + AREA.length > size) return undefined;
    const area = page.subarray(areaOffset);
    const byChkdsk = page.toString('latin1', 0, 4) === 'CHKD';
    const flags = area.readUInt16LE(AREA.flags);
    return {
      size,
      lsn: byChkdsk ? readU64LE(page, PAGE.chkdskLsn) : readU64LE(area, AREA.currentLsn),
      closed: area.readUInt16LE(AREA.clientInUse) === NO_CLIENT || (flags & CLEAN_FLAG) !== 0,
      version: `${page.readInt16LE(PAGE.major)}.${page.readInt16LE(PAGE.minor)}`,
    };
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
