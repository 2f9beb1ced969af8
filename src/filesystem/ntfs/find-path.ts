// Looks whether a file or folder is there, by its path.
// Invariant: an entry counts only if the record that it names still is that file's.

import { FormatError } from '../../base/u64.js';
import type { Source } from '../../source/types.js';
import { BOOT_SECTOR_LENGTH, parseBootSector } from './boot-sector.js';
import { findInDirectory } from './directory.js';
import { openMasterFileTable, RECORD, readRecord } from './master-file-table.js';

/** `path`: from the root, with slashes, in any case of letters. Throws FormatError. */
export async function hasPath(source: Source, path: string): Promise<boolean> {
  const head = Buffer.alloc(BOOT_SECTOR_LENGTH);
  await source.read(head, 0);
  const boot = parseBootSector(head);
  if (!boot) throw new FormatError('no NTFS boot sector');
  const mft = await openMasterFileTable({ source, boot });
  let record = await readRecord(mft, RECORD.root);
  for (const name of path.split('/').filter((part) => part !== '')) {
    if (!record.isDirectory) return false;
    const found = await findInDirectory(mft, record, name);
    if (!found) return false;
    record = await readRecord(mft, found.record);
    if (record.sequence !== found.sequence)
      throw new FormatError(`${path}: MFT record ${found.record} is another file's`);
  }
  return true;
}
