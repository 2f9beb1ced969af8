// The page and hibernation files of Windows, whose content no started Windows looks at.
// Invariant: extents come from the run list of the file that the root directory names, and only if its record still is
// that file's. Not given out: a file whose clusters do not hold its bytes as they are (compressed, encrypted), and one that
// Windows did not make (not hidden, or no system file).

import { FormatError } from '../../base/u64.js';
import type { Extent } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import type { ExcludedFile } from '../plugin.js';
import type { BootSector } from './boot-sector.js';
import { findInDirectory } from './directory.js';
import { ATTRIBUTE, type FileRecord } from './file-record.js';
import {
  type MasterFileTable,
  openMasterFileTable,
  openStream,
  RECORD,
  readRecord,
  UNNAMED_DATA,
} from './master-file-table.js';
import { HIBERNATION_FILE } from './state.js';

const NAMES: Readonly<Record<string, ExcludedFile['kind']>> = {
  'pagefile.sys': 'page file',
  'swapfile.sys': 'page file',
  [HIBERNATION_FILE]: 'hibernation file',
};

/** Where $STANDARD_INFORMATION keeps the attributes that `attrib` shows. Format: ntfs-3g layout.h. */
const FILE_ATTRIBUTES = 32;
const HIDDEN_SYSTEM = 0x2 | 0x4;

/** For volumes on which nothing hibernates. Throws FormatError. */
export async function findExcludable(source: Source, boot: BootSector): Promise<ExcludedFile[]> {
  const mft = await openMasterFileTable({ source, boot });
  const files: ExcludedFile[] = [];
  for (const [name, kind] of Object.entries(NAMES)) {
    const extents = await extentsOf(mft, name);
    if (extents.length > 0) files.push({ path: `/${name}`, kind, extents });
  }
  return files;
}

/** All clusters of the file's unnamed stream; none if there is no such file, or it lies in its record. */
async function extentsOf(mft: MasterFileTable, name: string): Promise<Extent[]> {
  const found = await findInDirectory(mft, await readRecord(mft, RECORD.root), name);
  if (!found) return [];
  const record = await readRecord(mft, found.record);
  if (record.sequence !== found.sequence || record.base.record !== 0) {
    throw new FormatError(`${name}: MFT record ${found.record} is another file's`);
  }
  if (!(await isWindowsOwn(mft, record))) return [];
  const stream = await openStream(mft, record, UNNAMED_DATA);
  if (!stream?.plain) return [];
  const { clusterSize } = mft.boot;
  return stream.runs.flatMap(({ lcn, count }) =>
    lcn === undefined ? [] : [{ offset: lcn * clusterSize, length: count * clusterSize }],
  );
}

/** Windows makes its page and hibernation files hidden system files; what somebody keeps under their names is none of them. */
async function isWindowsOwn(mft: MasterFileTable, record: FileRecord): Promise<boolean> {
  const stream = await openStream(mft, record, { type: ATTRIBUTE.standardInformation, name: '' });
  const information = stream?.resident;
  if (!information || information.length < FILE_ATTRIBUTES + 4) return false;
  return (information.readUInt32LE(FILE_ATTRIBUTES) & HIDDEN_SYSTEM) === HIDDEN_SYSTEM;
}
