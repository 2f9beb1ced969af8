// Who owns a damaged stretch of NTFS: one pass over all MFT records, then the names of those that own an asked byte.
// Invariant: every asked byte is in exactly one owner; memory grows with the answer and the damage, not with the table.
// Extension records name their base record, so no attribute list has to be followed to know whose a cluster is.

import { type Extent, extentEnd, gaps, intersect } from '../../map/extent.js';
import type { Source } from '../../source/types.js';
import { attempt, parsed, tryRead } from '../best-effort.js';
import { type Claims, openClaims, ownersFrom } from '../claims.js';
import type { Owner } from '../plugin.js';
import type { BootSector } from './boot-sector.js';
import { openClusterBitmap } from './cluster-bitmap.js';
import { baseNumber, type FileRecord, isUnused, parseFileRecord } from './file-record.js';
import type { MasterFileTable } from './master-file-table.js';
import { type Claimant, type Described, describe } from './owner-names.js';
import { type Damage, openPaths } from './paths.js';
import { decodeRuns } from './run-list.js';
import { openSurvivingTable, recordPieces } from './surviving-table.js';

/** $Boot is this long whatever the cluster size is. */
const BOOT_LENGTH = 8192;
/** $MFTMirr repeats at least these. */
const MIRRORED_RECORDS = 4;
/** Names of so many damaged records are looked for in the directories. */
const MOST_DAMAGED = 100_000;
/** Clusters whose bits are asked for at once. */
const BITMAP_STEP = 2 ** 19;

const FREE: Claimant = { kind: 'free' };

export async function ownersOf(source: Source, boot: BootSector, asked: readonly Extent[]): Promise<readonly Owner[]> {
  const claims = openClaims<Claimant>(asked);
  claimKnownPlaces(claims, boot);
  const mft = await openSurvivingTable({ source, boot });
  if (!mft) return ownersFrom(claims, (claimant) => (claimant.kind === 'structure' ? claimant : UNTOLD));
  claimRecords(claims, mft);
  const damage = await scanRecords(claims, mft);
  await claimFree(claims, mft);
  const paths = await openPaths(mft, damage);
  const described = new Map<Claimant, Described>();
  for (const { claimant } of claims.made) {
    if (!described.has(claimant)) described.set(claimant, await describe(claimant, { mft, paths }));
  }
  return ownersFrom(claims, (claimant) => described.get(claimant) ?? UNTOLD);
}

const UNTOLD: Described = { kind: 'structure', names: [] };

function claimKnownPlaces(claims: Claims<Claimant>, boot: BootSector): void {
  const { sectorSize, totalSectors, mirrorCluster, clusterSize, recordSize } = boot;
  const claim = (name: string, offset: number, length: number): void => {
    claims.claim({ offset, length }, { kind: 'structure', names: [name] });
  };
  claim('$Boot', 0, Math.min(BOOT_LENGTH, totalSectors * sectorSize));
  claim('backup boot sector', totalSectors * sectorSize, sectorSize);
  claim('$MFTMirr', mirrorCluster * clusterSize, MIRRORED_RECORDS * recordSize);
}

/** Each asked record of the table by itself. */
function claimRecords(claims: Claims<Claimant>, { boot, stream }: MasterFileTable): void {
  const { clusterSize, recordSize } = boot;
  for (const { vcn, lcn, count } of stream.runs) {
    if (lcn === undefined) continue;
    const run = { offset: lcn * clusterSize, length: count * clusterSize };
    if (!claims.meets(run)) continue;
    const shift = vcn * clusterSize - run.offset;
    const claimants = new Map<number, Claimant>();
    for (const part of claims.left.flatMap((left) => intersect(left, run) ?? [])) {
      const end = Math.min(extentEnd(part), stream.initializedSize - shift);
      for (let offset = part.offset; offset < end; ) {
        const number = Math.floor((offset + shift) / recordSize);
        const next = Math.min(end, (number + 1) * recordSize - shift);
        const claimant: Claimant = claimants.get(number) ?? { kind: 'record', number };
        claimants.set(number, claimant);
        claims.claim({ offset, length: next - offset }, claimant);
        offset = next;
      }
    }
  }
}

async function scanRecords(claims: Claims<Claimant>, mft: MasterFileTable): Promise<Damage> {
  const { recordSize } = mft.boot;
  const records = new Set<number>();
  const directories = new Set<number>();
  for await (const { first, count, bytes, lost } of recordPieces(mft)) {
    for (let index = 0; index < count; index += 1) {
      const number = first + index;
      const raw = bytes.subarray(index * recordSize, (index + 1) * recordSize);
      if (!lost.has(index) && isUnused(raw)) continue;
      const record =
        (lost.has(index) ? undefined : parsed(() => parseFileRecord(raw, number))) ?? (await mirrored(mft, number));
      if (!record) {
        if (records.size < MOST_DAMAGED) records.add(number);
        continue;
      }
      if (record.isDirectory) directories.add(first);
      claimRuns(claims, mft.boot, record);
    }
  }
  return { records, directories };
}

/** The copy of one of the first records in $MFTMirr. */
async function mirrored({ source, boot }: MasterFileTable, number: number): Promise<FileRecord | undefined> {
  if (number >= MIRRORED_RECORDS) return undefined;
  const bytes = Buffer.alloc(boot.recordSize);
  const offset = boot.mirrorCluster * boot.clusterSize + number * boot.recordSize;
  return (await tryRead(source, bytes, offset)) ? parsed(() => parseFileRecord(bytes, number)) : undefined;
}

function claimRuns(claims: Claims<Claimant>, { clusterCount, clusterSize }: BootSector, record: FileRecord): void {
  for (const attribute of record.attributes) {
    if (attribute.resident) continue;
    const { type, name, lowestVcn, runs } = attribute;
    const what = `MFT record ${record.number}`;
    let claimant: Claimant | undefined;
    for (const { lcn, count } of parsed(() => decodeRuns(runs, { firstVcn: lowestVcn, clusterCount, what })) ?? []) {
      const extent = { offset: (lcn ?? 0) * clusterSize, length: count * clusterSize };
      if (lcn === undefined || !claims.meets(extent)) continue;
      claimant ??= { kind: 'attribute', record: baseNumber(record), type, name };
      claims.claim(extent, claimant);
    }
  }
}

/** What $Bitmap calls free, and the rest of the last cluster. */
async function claimFree(claims: Claims<Claimant>, mft: MasterFileTable): Promise<void> {
  const { clusterCount, clusterSize } = mft.boot;
  claims.claim({ offset: clusterCount * clusterSize, length: mft.source.size }, FREE);
  const bitmap = claims.left.length === 0 ? undefined : await attempt(() => openClusterBitmap(mft));
  if (!bitmap) return;
  for (const part of [...claims.left]) {
    const last = Math.min(clusterCount, Math.ceil(extentEnd(part) / clusterSize));
    let first = Math.floor(part.offset / clusterSize);
    while (first < last) {
      const end = Math.min(last, (Math.floor(first / BITMAP_STEP) + 1) * BITMAP_STEP);
      const within = { first, end };
      const used = await attempt(async () => {
        const extents: Extent[] = [];
        for await (const run of bitmap.used(within)) {
          extents.push({ offset: run.first * clusterSize, length: (run.end - run.first) * clusterSize });
        }
        return extents;
      });
      const stretch = { offset: first * clusterSize, length: (end - first) * clusterSize };
      if (used) for (const free of gaps(used, stretch)) claims.claim(free, FREE);
      first = end;
    }
  }
}
