// The folders whose files Windows, VSS or a boot manager write from below the file system: $Extend, System Volume
// Information and Boot, with all folders in them.
// Invariant: a folder that cannot be read is no reason to trust its files: FormatError.

import { FormatError } from '../../base/u64.js';
import { type IndexEntry, indexEntries } from './index-entries.js';
import { type MasterFileTable, RECORD, readRecord } from './master-file-table.js';

/** Record number of $Extend, from NTFS 3.0 on. */
const EXTEND = 11;
const IN_ROOT: ReadonlySet<string> = new Set(['system volume information', 'boot']);
/** File attributes in a $FILE_NAME, as directories keep it; the bit of folders. Format: ntfs-3g layout.h. */
const FILE_ATTRIBUTES = 56;
const IS_FOLDER = 0x10000000;
/** Windows has some dozens. */
const MOST_FOLDERS = 4096;

/** Their record numbers, in the order they were found. Throws FormatError. */
export async function systemFolders(mft: MasterFileTable): Promise<ReadonlySet<number>> {
  const found = new Set<number>([EXTEND]);
  for await (const entry of indexEntries(mft, await readRecord(mft, RECORD.root))) {
    if (isFolder(entry) && IN_ROOT.has(entry.name?.toLowerCase() ?? '')) found.add(entry.record);
  }
  for (const number of found) {
    const folder = await readRecord(mft, number);
    if (!folder.isDirectory) throw new FormatError(`MFT record ${number}: not the folder that it is called`);
    for await (const entry of indexEntries(mft, folder)) if (isFolder(entry)) found.add(entry.record);
    if (found.size > MOST_FOLDERS) throw new FormatError('more system folders than Windows ever makes');
  }
  return found;
}

function isFolder({ key }: IndexEntry): boolean {
  return key.length >= FILE_ATTRIBUTES + 4 && (key.readUInt32LE(FILE_ATTRIBUTES) & IS_FOLDER) !== 0;
}
