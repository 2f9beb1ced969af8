// $Volume (MFT record 3): the label, the version and the dirty flag.
// Format: ntfs-3g layout.h (VOLUME_INFORMATION, VOLUME_FLAGS).

import { FormatError } from '../../base/u64.js';
import { ATTRIBUTE } from './file-record.js';
import { type MasterFileTable, openStream, RECORD, readRecord } from './master-file-table.js';

const INFORMATION = { major: 8, minor: 9, flags: 10, length: 12 } as const;
const DIRTY = 0x0001;
const CHKDSK_UNDERWAY = 0x4000;

export interface VolumeRecord {
  readonly label: string;
  readonly major: number;
  readonly minor: number;
  /** Something went wrong since the last check: chkdsk will run. */
  readonly dirty: boolean;
  readonly chkdskUnderway: boolean;
}

/** Throws FormatError. */
export async function readVolumeRecord(mft: MasterFileTable): Promise<VolumeRecord> {
  const record = await readRecord(mft, RECORD.volume);
  const name = await openStream(mft, record, { type: ATTRIBUTE.volumeName, name: '' });
  const information = await openStream(mft, record, { type: ATTRIBUTE.volumeInformation, name: '' });
  const value = information?.resident;
  if (!value || value.length < INFORMATION.length) throw new FormatError('$Volume: no volume information');
  const flags = value.readUInt16LE(INFORMATION.flags);
  return {
    label: name?.resident?.toString('utf16le') ?? '',
    major: value.readUInt8(INFORMATION.major),
    minor: value.readUInt8(INFORMATION.minor),
    dirty: (flags & DIRTY) !== 0,
    chkdskUnderway: (flags & CHKDSK_UNDERWAY) !== 0,
  };
}
