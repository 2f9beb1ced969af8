// Reads a GPT from its two copies: finds them, decides which one counts, and says what is wrong with the other.
// Invariant: a table is made of one valid copy, never of parts of both.
// Specification: UEFI 2.10 §5.3; the backup is in the last sector unless the medium was enlarged.

import { gptDamaged } from '../base/errors/partition.js';
import type { Bytes } from '../base/units.js';
import type { Source } from '../source/types.js';
import { type Piece, refuseOverlaps } from './check.js';
import { type BrokenCopy, type GptCopy, readCopy, readOr } from './gpt-copy.js';
import { readGptPartitions } from './gpt-entries.js';
import { readGuid } from './guid.js';
import { hasBootSignature, isUsed, PROTECTIVE, readEntries } from './mbr-entry.js';
import { type GptRaw, type GptTable, partitionLabel, type TableWarning } from './table.js';
import * as warnings from './warnings.js';

/** Both copies as found for one sector size. */
export interface GptCopies {
  readonly sectorSize: Bytes;
  readonly primary: GptCopy | BrokenCopy;
  readonly backup: GptCopy | BrokenCopy;
  /** Where `backup` was looked for. */
  readonly backupLba: number;
}

/** Looks for both copies. Never throws for damage. */
export async function findCopies(disk: Source, sectorSize: Bytes): Promise<GptCopies> {
  const lastLba = Math.floor(disk.size / sectorSize) - 1;
  const primary = await readCopy(disk, { name: 'primary', lba: 1, sectorSize });
  const announced = primary.valid ? primary.alternateLba : primary.claims?.alternateLba;
  const places = primary.valid ? [primary.alternateLba, lastLba] : [lastLba, announced ?? lastLba];
  let first: GptCopies | undefined;
  for (const lba of new Set(places)) {
    if (lba <= 1) continue;
    const backup = await readCopy(disk, { name: 'backup', lba, sectorSize });
    const found = { sectorSize, primary, backup, backupLba: lba };
    // The last sector may hold the remains of another table: it is no backup of a primary that points elsewhere.
    const related = !primary.valid || lba === announced || (backup.valid && diskId(backup) === diskId(primary));
    if (backup.valid && related) return found;
    if (!backup.valid) first ??= found;
  }
  const problem = `the backup GPT header has no place of its own (LBA ${announced ?? lastLba})`;
  const nowhere: BrokenCopy = { valid: false, problem, signature: false, claims: undefined };
  return first ?? { sectorSize, primary, backup: nowhere, backupLba: lastLba };
}

/** The table that the copies make. `mbr` is sector 0. Throws if no copy is valid or the partitions are impossible. */
export async function gptTable(disk: Source, copies: GptCopies, mbr: Buffer): Promise<GptTable> {
  const { primary, backup, sectorSize } = copies;
  const used = primary.valid ? primary : backup;
  if (!used.valid) {
    throw gptDamaged(disk.name, {
      primary: primary.valid ? '' : primary.problem,
      backup: backup.valid ? '' : backup.problem,
    });
  }
  const sectorCount = Math.floor(disk.size / sectorSize);
  const found = [...mbrWarnings(mbr), ...copyWarnings(copies, sectorCount - 1)];
  if (used.lastUsable >= sectorCount) {
    found.push(warnings.madeForLargerDisk({ lastUsable: used.lastUsable, lastLba: sectorCount - 1 }));
  }
  const partitions = readGptPartitions(used, { disk: disk.name, sectorSize, sectorCount });
  const raw: GptRaw = {
    mbr,
    header: used.header,
    entries: used.entries,
    entrySize: used.entrySize,
    entryCount: used.entryCount,
    firstUsable: used.firstUsable,
    lastUsable: used.lastUsable,
    primaryEntriesLba: primary.valid ? primary.entriesLba : await lostEntriesLba(disk, copies, used),
    backup: backupPlace(copies, used, sectorCount),
    sectorCount,
    intact: !found.some(({ code }) => code !== 'protective-mbr-missing' && code !== 'hybrid-mbr'),
  };
  refuseOverlaps(
    disk.name,
    [
      ...partitions.map((partition) => ({ label: partitionLabel(partition), extent: partition.extent })),
      ...gptPieces(raw, sectorSize),
    ],
    sectorSize,
  );
  return { kind: 'gpt', sectorSize, id: diskId(used), partitions, warnings: found, raw };
}

/** What a GPT occupies on its disk. */
export function gptPieces(raw: GptRaw, sectorSize: Bytes): Piece[] {
  const piece = (label: string, lba: number, length: Bytes): Piece => ({
    label,
    extent: { offset: lba * sectorSize, length },
  });
  const pieces = [
    piece('the protective MBR', 0, sectorSize),
    piece('the primary GPT header', 1, sectorSize),
    piece('the entries of the primary GPT', raw.primaryEntriesLba, raw.entries.length),
  ];
  if (raw.backup) {
    pieces.push(
      piece('the entries of the backup GPT', raw.backup.entriesLba, raw.entries.length),
      piece('the backup GPT header', raw.backup.headerLba, sectorSize),
    );
  }
  return pieces;
}

function diskId(copy: GptCopy): string {
  return readGuid(copy.header, 56).toLowerCase();
}

function mbrWarnings(mbr: Buffer): TableWarning[] {
  const entries = hasBootSignature(mbr) ? readEntries(mbr) : [];
  if (!entries.some(({ type }) => type === PROTECTIVE)) return [warnings.protectiveMbrMissing()];
  return entries.some((entry) => isUsed(entry) && entry.type !== PROTECTIVE) ? [warnings.hybridMbr()] : [];
}

function copyWarnings({ primary, backup, backupLba }: GptCopies, lastLba: number): TableWarning[] {
  const found: TableWarning[] = [];
  if (!primary.valid) found.push(warnings.primaryDamaged(primary.problem, backupLba));
  if (!backup.valid) found.push(warnings.backupDamaged(backup.problem));
  if (primary.valid && backup.valid && !sameContent(primary, backup)) found.push(warnings.copiesDiffer(backupLba));
  if (backupLba < lastLba) found.push(warnings.backupNotAtEnd({ backupLba, lastLba }));
  return found;
}

function sameContent(a: GptCopy, b: GptCopy): boolean {
  return (
    diskId(a) === diskId(b) &&
    a.firstUsable === b.firstUsable &&
    a.lastUsable === b.lastUsable &&
    a.entryCount === b.entryCount &&
    a.entrySize === b.entrySize &&
    a.header.readUInt32LE(88) === b.header.readUInt32LE(88)
  );
}

/**
 * Where the entries of a damaged primary belong. LBA 2, unless the damaged header names a place where the very
 * entries of the backup lie: boot loaders of some boards need the room at LBA 2.
 */
async function lostEntriesLba(disk: Source, { primary, sectorSize }: GptCopies, used: GptCopy): Promise<number> {
  const claimed = primary.valid ? undefined : primary.claims?.entriesLba;
  if (claimed === undefined || claimed <= 2 || claimed + used.entries.length / sectorSize > used.firstUsable) return 2;
  if (used.firstUsable * sectorSize > disk.size) return 2;
  const bytes = await readOr(disk, { offset: claimed * sectorSize, length: used.entries.length });
  return typeof bytes !== 'string' && bytes.equals(used.entries) ? claimed : 2;
}

/** The place of the backup; a damaged one is taken to have its entries right before its header. */
function backupPlace(
  { backup, backupLba, sectorSize }: GptCopies,
  used: GptCopy,
  sectorCount: number,
): GptRaw['backup'] {
  if (backup.valid && backup.entries.length === used.entries.length) {
    return { headerLba: backup.headerLba, entriesLba: backup.entriesLba };
  }
  const entriesLba = backupLba - used.entries.length / sectorSize;
  if (backupLba >= sectorCount || entriesLba <= used.lastUsable) return undefined;
  return { headerLba: backupLba, entriesLba };
}
