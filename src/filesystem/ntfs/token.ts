// A digest of what every writing mount of an NTFS volume changes: the whole $MFT, $Bitmap, $LogFile's head.
// Measured: an overwrite in place through ntfs-3g leaves boot sector, $LogFile and $Volume equal; only the file's
// own record differs. Hence the whole table.

import { DigestStream } from '../../base/digest.js';
import { FormatError } from '../../base/u64.js';
import { type Bytes, MiB } from '../../base/units.js';
import type { Source } from '../../source/types.js';
import { BOOT_SECTOR_LENGTH, type BootSector } from './boot-sector.js';
import { openClusterBitmap } from './cluster-bitmap.js';
import { readLogHead } from './log-file.js';
import { openMasterFileTable, openStream, RECORD, readRecord, UNNAMED_DATA } from './master-file-table.js';
import { type NtfsVolume, readStream, type Stream } from './stream.js';

const PIECE: Bytes = MiB;

/** 16 bytes. Throws FormatError if the metadata contradicts itself: such a volume has no token. */
export async function ntfsToken(source: Source, boot: BootSector): Promise<Buffer> {
  const digest = new DigestStream();
  const sector = Buffer.alloc(BOOT_SECTOR_LENGTH);
  await source.read(sector, 0);
  digest.add(sector);
  const mft = await openMasterFileTable({ source, boot });
  const log = await openStream(mft, await readRecord(mft, RECORD.logFile), UNNAMED_DATA);
  if (!log) throw new FormatError('$LogFile: no $DATA');
  digest.add(await readLogHead(mft, log));
  await addStream(digest, mft, (await openClusterBitmap(mft)).stream);
  await addStream(digest, mft, mft.stream);
  return digest.finish();
}

async function addStream(digest: DigestStream, volume: NtfsVolume, stream: Stream): Promise<void> {
  const end = stream.initializedSize;
  const piece = Buffer.alloc(Math.min(PIECE, end));
  for (let offset = 0; offset < end; offset += PIECE) {
    const part = piece.subarray(0, Math.min(PIECE, end - offset));
    await readStream(volume, stream, part, offset);
    digest.add(part);
  }
}
