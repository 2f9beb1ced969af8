// Looks up a name in a directory.
// No descent by collation: that needs $UpCase, and one wrong comparison would hide a hibernation file.

import type { FileRecord, RecordReference } from './file-record.js';
import { indexEntries } from './index-entries.js';
import type { MasterFileTable } from './master-file-table.js';

/** The record of the file called `name` (any case). Undefined: there is none. Throws FormatError. */
export async function findInDirectory(
  mft: MasterFileTable,
  directory: FileRecord,
  name: string,
): Promise<RecordReference | undefined> {
  const wanted = name.toUpperCase();
  for await (const entry of indexEntries(mft, directory)) {
    if (entry.name?.toUpperCase() === wanted) return entry;
  }
  return undefined;
}
