// Errors about partition tables: damage on the source (exit status 5), and targets that a table does not fit (3).

import { ToolError } from '../tool-error.js';
import { type Bytes, formatBytesExact } from '../units.js';

const FORENSIC = 'Repair the table first, or copy every byte as it is with --forensic';

/** Neither copy of a GPT can be used. `primary` and `backup` each say where the copy is and what is wrong with it. */
export function gptDamaged(disk: string, { primary, backup }: { primary: string; backup: string }): ToolError {
  return new ToolError({
    code: 'filesystem.gpt-damaged',
    message: `${disk}: both copies of the partition table (GPT) are damaged: ${primary}; ${backup}`,
    hint: FORENSIC,
    details: { disk, primary, backup },
  });
}

export function tableSectorSizeDiffers(disk: string, sizes: { table: Bytes; disk: Bytes }): ToolError {
  return new ToolError({
    code: 'filesystem.table-sector-size',
    message:
      `${disk} addresses sectors of ${sizes.disk} bytes, but its partition table (GPT) was made for sectors of ` +
      `${sizes.table} bytes, so its partitions cannot be found where it says`,
    hint: 'Connect the disk the way it was connected when it was partitioned, usually without the USB adapter',
    details: { disk, tableSectorSize: sizes.table, diskSectorSize: sizes.disk },
  });
}

export function sectorSizeUnsupported(disk: string, sectorSize: Bytes): ToolError {
  return new ToolError({
    code: 'filesystem.sector-size-unsupported',
    message: `${disk} has sectors of ${sectorSize} bytes; partition tables are read from 512 to 4096, powers of two`,
    hint: 'Copy every byte as it is with --forensic',
    details: { disk, sectorSize },
  });
}

/** `first` and `last` are the LBAs that the partition claims, `lowest` and `highest` those it may use. */
export function partitionOutside(
  disk: string,
  partition: string,
  lba: { first: number; last: number; lowest: number; highest: number },
  limit: string,
): ToolError {
  return new ToolError({
    code: 'filesystem.partition-outside',
    message: `${disk}: ${partition} spans LBA ${lba.first} to ${lba.last}, but ${limit} is LBA ${lba.lowest} to ${lba.highest}`,
    hint: FORENSIC,
    details: { disk, partition, ...lba },
  });
}

export function partitionReversed(disk: string, partition: string, lba: { first: number; last: number }): ToolError {
  return new ToolError({
    code: 'filesystem.partition-reversed',
    message: `${disk}: ${partition} ends at LBA ${lba.last}, before its start at LBA ${lba.first}`,
    hint: FORENSIC,
    details: { disk, partition, ...lba },
  });
}

export function partitionNumbersImpossible(disk: string, partition: string): ToolError {
  return new ToolError({
    code: 'filesystem.partition-impossible',
    message: `${disk}: ${partition} starts or ends beyond any disk (2^53 sectors)`,
    hint: FORENSIC,
    details: { disk, partition },
  });
}

/** Two things on one place; each piece has the LBAs of its first and last sector. */
export function partitionsOverlap(
  disk: string,
  a: { label: string; first: number; last: number },
  b: { label: string; first: number; last: number },
): ToolError {
  return new ToolError({
    code: 'filesystem.partitions-overlap',
    message: `${disk}: ${a.label} (LBA ${a.first} to ${a.last}) overlaps ${b.label} (LBA ${b.first} to ${b.last})`,
    hint: FORENSIC,
    details: { disk, a, b },
  });
}

export function ebrLoop(disk: string, lba: number): ToolError {
  return new ToolError({
    code: 'filesystem.ebr-loop',
    message: `${disk}: the chain of logical partitions runs in a circle: it comes back to the record at LBA ${lba}`,
    hint: FORENSIC,
    details: { disk, lba },
  });
}

/** A link of the chain leads out of the extended partition. */
export function ebrOutside(
  disk: string,
  { at, to, lowest, highest }: { at: number; to: number; lowest: number; highest: number },
): ToolError {
  return new ToolError({
    code: 'filesystem.ebr-outside',
    message:
      `${disk}: the record at LBA ${at} of the chain of logical partitions links to LBA ${to}, ` +
      `outside the extended partition (LBA ${lowest} to ${highest})`,
    hint: FORENSIC,
    details: { disk, at, to, lowest, highest },
  });
}

export function ebrDamaged(disk: string, { at, to }: { at: number; to: number }): ToolError {
  return new ToolError({
    code: 'filesystem.ebr-damaged',
    message:
      `${disk}: the record at LBA ${at} of the chain of logical partitions links to LBA ${to}, ` +
      'where there is no record (signature 55 AA)',
    hint: FORENSIC,
    details: { disk, at, to },
  });
}

export function tooManyLogicals(disk: string, limit: number): ToolError {
  return new ToolError({
    code: 'filesystem.too-many-logicals',
    message: `${disk}: the extended partition has more than ${limit} logical partitions or records`,
    hint: FORENSIC,
    details: { disk, limit },
  });
}

/** `needed` is the smallest target that would do. */
export function targetTooSmall({ needed, targetSize }: { needed: Bytes; targetSize: Bytes }): ToolError {
  const missing = needed - targetSize;
  return new ToolError({
    code: 'safety.target-too-small',
    message:
      `the target is ${formatBytesExact(missing)} too small: the clone needs ` +
      `${formatBytesExact(needed)}, the target has ${formatBytesExact(targetSize)}`,
    hint: 'Choose a larger target, let file systems shrink with --layout fill, or leave out partitions with --only',
    details: { needed, targetSize, missing },
  });
}

export function sectorSizeChange({ source, target }: { source: Bytes; target: Bytes }): ToolError {
  return new ToolError({
    code: 'safety.sector-size-differs',
    message:
      `the source has sectors of ${source} bytes and the target of ${target}: partition tables and some file systems ` +
      'count in sectors, and a copy of every byte or of a failing disk changes nothing in them',
    hint: `Choose a target with sectors of ${source} bytes, or leave out --forensic and --rescue`,
    details: { sourceSectorSize: source, targetSectorSize: target },
  });
}

export function noSuchPartition(wanted: number, present: readonly number[]): ToolError {
  return new ToolError({
    code: 'usage.no-such-partition',
    message: `there is no partition ${wanted}; there ${present.length === 1 ? 'is' : 'are'} ${present.join(', ') || 'none'}`,
    hint: 'Name partitions by the numbers that the table lists',
    details: { wanted, present },
  });
}
