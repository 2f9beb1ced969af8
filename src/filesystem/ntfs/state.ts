// Whether an NTFS volume may be copied as it lies there: its size, hibernation, $LogFile and dirty flag.
// Invariant: `clean` is said only after all of them were read; what cannot be read is not clean.
// Rules: ntfs-3g volume.c (ntfs_volume_check_hiberfile, ntfs_volume_check_logfile).

import { FormatError } from '../../base/u64.js';
import { formatBytesExact, KiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { CLEAN, type FilesystemState } from '../plugin.js';
import type { BootSector } from './boot-sector.js';
import { findInDirectory } from './directory.js';
import { logStateOf, readLogHead } from './log-file.js';
import {
  type MasterFileTable,
  openMasterFileTable,
  openStream,
  RECORD,
  readRecord,
  UNNAMED_DATA,
} from './master-file-table.js';
import { readStream } from './stream.js';
import { readVolumeRecord } from './volume-record.js';

export const HIBERNATION_FILE = 'hiberfil.sys';
const HIBERNATION_HEADER = 4 * KiB;
/**
 * A session, and what becomes of it: the loader writes `wake` (later `rstr`) when it begins to restore, and after a failure
 * asks whether to try again; `link` says that the session lies on another drive. After a start of Windows it is zeros.
 */
const SESSION_MAGICS = ['hibr', 'wake', 'rstr', 'brkp', 'link'];

const SHUT_DOWN = 'Start Windows and shut it down fully (hold Shift while choosing "Shut down")';
const CHECK = 'Run "chkdsk /f" on the volume in Windows and shut Windows down fully';

/** Never throws on hostile content. */
export async function readNtfsState(source: Source, boot: BootSector): Promise<FilesystemState> {
  const needed = boot.totalSectors * boot.sectorSize;
  if (needed > source.size) {
    return {
      kind: 'incomplete',
      reason: `the file system spans ${formatBytesExact(needed)}, the volume has ${formatBytesExact(source.size)}`,
      advice: 'Give the whole volume as the source; if it was cut off, grow it back to its size',
    };
  }
  try {
    const mft = await openMasterFileTable({ source, boot });
    return (await hibernation(mft)) ?? (await log(mft)) ?? (await flags(mft)) ?? CLEAN;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { kind: 'dirty', reason: `its metadata is damaged (${error.message})`, advice: CHECK };
  }
}

async function hibernation(mft: MasterFileTable): Promise<FilesystemState | undefined> {
  const found = await findInDirectory(mft, await readRecord(mft, RECORD.root), HIBERNATION_FILE);
  if (!found) return undefined;
  const file = await openStream(mft, await readRecord(mft, found.record), UNNAMED_DATA);
  if (!file || file.size < HIBERNATION_HEADER) {
    return hibernated(`Windows hibernated with this volume in use (a short ${HIBERNATION_FILE})`);
  }
  if (!file.plain) return hibernated(`whether Windows hibernates cannot be told (${HIBERNATION_FILE} is compressed)`);
  const magic = Buffer.alloc(4);
  await readStream(mft, file, magic, 0);
  if (!SESSION_MAGICS.includes(magic.toString('latin1').toLowerCase())) return undefined;
  return hibernated(`Windows is hibernated or was shut down with Fast Startup (${HIBERNATION_FILE} holds a session)`);
}

function hibernated(reason: string): FilesystemState {
  return { kind: 'hibernated', reason, advice: SHUT_DOWN };
}

async function log(mft: MasterFileTable): Promise<FilesystemState | undefined> {
  const stream = await openStream(mft, await readRecord(mft, RECORD.logFile), UNNAMED_DATA);
  const state = stream ? logStateOf(await readLogHead(mft, stream)) : 'damaged';
  switch (state) {
    case 'clean':
      return undefined;
    case 'cached':
      return hibernated(
        'Windows may hold its metadata in memory: Fast Startup, or the disk was unplugged ($LogFile 2.0)',
      );
    case 'open':
      return { kind: 'dirty', reason: 'it was not unmounted ($LogFile is open)', advice: SHUT_DOWN };
    case 'damaged':
      return { kind: 'dirty', reason: 'its journal cannot be read ($LogFile is damaged)', advice: CHECK };
  }
}

async function flags(mft: MasterFileTable): Promise<FilesystemState | undefined> {
  const { major, minor, dirty, chkdskUnderway } = await readVolumeRecord(mft);
  if (chkdskUnderway) return { kind: 'dirty', reason: 'a chkdsk of it did not finish', advice: CHECK };
  if (dirty) return { kind: 'dirty', reason: 'it is marked dirty (Windows wants to check it)', advice: CHECK };
  if (major >= 1 && major <= 3) return undefined;
  return {
    kind: 'unsupported',
    reason: `NTFS version ${major}.${minor} is unknown`,
    advice: 'Use a newer ectype',
  };
}
