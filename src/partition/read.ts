// Finds the partition table of a disk: GPT before MBR, and neither where a file system starts at the first byte.
// Invariant: reads through the Source only; hostile bytes end in a ToolError, never in a crash or a large allocation.
// Follows Linux: a GPT counts because of its protective MBR (block/partitions/efi.c); see boot-sector.ts for the rest.

import { gptDamaged, sectorSizeUnsupported, tableSectorSizeDiffers } from '../base/errors/partition.js';
import type { Bytes } from '../base/units.js';
import { readAround } from '../source/around.js';
import type { Source } from '../source/types.js';
import { filesystemAtStart, HEAD_LENGTH } from './boot-sector.js';
import { startsWithSignature } from './gpt-copy.js';
import { findCopies, type GptCopies, gptTable } from './gpt-read.js';
import { bootFlagsPlausible, hasBootSignature, type MbrEntry, PROTECTIVE, readEntries } from './mbr-entry.js';
import { entriesPlausible, readMbr } from './mbr-read.js';
import type { PartitionTable } from './table.js';
import { staleGpt } from './warnings.js';

const MIN_SECTOR = 512;
const MAX_SECTOR = 4096;
/** Sector sizes that a raw file's table may have been made for. */
const USUAL_SECTORS = [512, 4096] as const;

/** The disk's partition table; undefined if there is none: a blank disk or a bare file system. */
export async function readTable(disk: Source): Promise<PartitionTable | undefined> {
  const { sectorSize } = disk;
  if (sectorSize !== undefined && !isSectorSize(sectorSize)) throw sectorSizeUnsupported(disk.name, sectorSize);
  if (disk.size < (sectorSize ?? MIN_SECTOR)) return undefined;
  const head = Buffer.alloc(Math.min(disk.size, HEAD_LENGTH));
  const holes = await readAround(disk, head, 0);
  const isLost = holes.some(({ offset }) => offset < MIN_SECTOR);

  const entries = hasBootSignature(head) ? readEntries(head) : [];
  const sizes = sectorSize === undefined ? USUAL_SECTORS : [sectorSize];
  const filesystem = filesystemAtStart(head);
  const mbrSectorSize = sectorSize ?? MIN_SECTOR;
  const plausible = bootFlagsPlausible(entries) && entriesPlausible(entries, Math.floor(disk.size / mbrSectorSize));
  const guarded = isProtected(entries, filesystem);
  const remains = sizes.some((size) => startsWithSignature(head.subarray(size)));
  if (guarded || (remains && !plausible && filesystem === undefined)) return readGpt(disk, sizes, head);

  if (isLost && filesystem === undefined) return backupOf(disk, sizes, head);
  if (entries.length === 0 || !bootFlagsPlausible(entries)) return undefined;
  if (filesystem !== undefined && !plausible) return undefined;
  const table = await readMbr(disk, { sectorSize: mbrSectorSize, mbr: sectorZero(head, mbrSectorSize) });
  return remains ? { ...table, warnings: [staleGpt(), ...table.warnings] } : table;
}

function isSectorSize(size: Bytes): boolean {
  return size >= MIN_SECTOR && size <= MAX_SECTOR && (size & (size - 1)) === 0;
}

/** A protective entry at LBA 1 is how Linux recognises a GPT; one elsewhere counts unless a file system is there. */
function isProtected(entries: readonly MbrEntry[], filesystem: string | undefined): boolean {
  const guards = entries.filter(({ type }) => type === PROTECTIVE);
  return guards.some(({ start }) => start === 1) || (guards.length > 0 && filesystem === undefined);
}

async function readGpt(disk: Source, sizes: readonly Bytes[], head: Buffer): Promise<PartitionTable> {
  const attempts: GptCopies[] = [];
  for (const size of sizes) attempts.push(await findCopies(disk, size));
  const best = attempts.find(({ primary }) => primary.valid) ?? attempts.find(({ backup }) => backup.valid);
  if (best) return gptTable(disk, best, sectorZero(head, best.sectorSize));
  if (disk.sectorSize !== undefined) await refuseOtherSectorSize(disk, disk.sectorSize);
  // For a raw file nothing says which size it was; the one with remains of a header tells more.
  const [first] = attempts;
  const told = attempts.find(({ primary, backup }) => hasRemains(primary) || hasRemains(backup)) ?? first;
  throw gptDamaged(disk.name, { primary: problemOf(told?.primary), backup: problemOf(told?.backup) });
}

/** Zeros in place of sector 0 are no sign that there is no table: only a GPT says it a second time. */
async function backupOf(disk: Source, sizes: readonly Bytes[], head: Buffer): Promise<PartitionTable | undefined> {
  for (const size of sizes) {
    const copies = await findCopies(disk, size);
    if (copies.primary.valid || copies.backup.valid) return gptTable(disk, copies, sectorZero(head, size));
  }
  await disk.read(head.subarray(0, MIN_SECTOR), 0); // says which sector it is
  return readTable(disk); // it can be read after all
}

function hasRemains(copy: GptCopies['primary']): boolean {
  return copy.valid || copy.signature;
}

function problemOf(copy: GptCopies['primary'] | undefined): string {
  return copy === undefined || copy.valid ? '' : copy.problem;
}

/** A disk moved between adapters that emulate different sectors has a valid table at the wrong place. */
async function refuseOtherSectorSize(disk: Source, sectorSize: Bytes): Promise<void> {
  for (const size of USUAL_SECTORS) {
    if (size === sectorSize) continue;
    const { primary, backup } = await findCopies(disk, size);
    if (primary.valid || backup.valid) throw tableSectorSizeDiffers(disk.name, { table: size, disk: sectorSize });
  }
}

function sectorZero(head: Buffer, sectorSize: Bytes): Buffer {
  const sector = Buffer.alloc(sectorSize);
  head.copy(sector, 0, 0, sectorSize);
  return sector;
}
