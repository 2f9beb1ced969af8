// Errors of a layout for a disk of another size: sizes that cannot be (exit status 2), room that is missing (3).

import { ToolError } from '../tool-error.js';
import { type Bytes, formatBytes, formatBytesExact, GiB, MiB } from '../units.js';

/** `reason` as the planner calls it. */
export function sizeOfFixed(partition: number, reason: string, length: Bytes): ToolError {
  return new ToolError({
    code: 'usage.size-of-fixed',
    message: `--size ${partition}: the size of partition ${partition} does not change: ${REASONS[reason] ?? reason}`,
    hint: `Leave --size ${partition} out; it keeps its ${formatBytesExact(length)}`,
    details: { partition, reason, length },
  });
}

const REASONS: Readonly<Record<string, string>> = {
  'efi-system': 'it is an EFI system partition',
  'bios-boot': 'it is a BIOS boot partition',
  'boot-loader': 'it is a partition of the boot loader',
  'microsoft-reserved': 'it is reserved by Windows',
  recovery: 'it is a recovery partition',
  foreign: 'it holds encryption, a volume manager or a RAID, which would have to be resized from inside',
  unrecognised: 'what it holds was not recognised, or cannot be resized',
};

export function sizeBelowMinimum(partition: number, { wanted, minimum }: { wanted: Bytes; minimum: Bytes }): ToolError {
  return new ToolError({
    code: 'usage.size-below-minimum',
    message:
      `--size ${partition}=${formatBytes(wanted)}: partition ${partition} cannot become smaller than ` +
      formatBytesExact(minimum),
    hint: `Give at least that, or write --size ${partition}=min`,
    details: { partition, wanted, minimum },
  });
}

export function sizeAboveMaximum(partition: number, { wanted, maximum }: { wanted: Bytes; maximum: Bytes }): ToolError {
  return new ToolError({
    code: 'usage.size-above-maximum',
    message:
      `--size ${partition}=${formatBytes(wanted)}: the file system on partition ${partition} cannot become larger than ` +
      formatBytesExact(maximum),
    hint: 'Give at most that',
    details: { partition, wanted, maximum },
  });
}

/** What lies on the partition cannot grow; `length` is its present size. */
export function sizeBeyondPartition(partition: number, length: Bytes): ToolError {
  return new ToolError({
    code: 'usage.size-beyond-partition',
    message:
      `--size ${partition}: what partition ${partition} holds cannot grow, so it cannot have more than its ` +
      `${formatBytesExact(length)}`,
    hint: `Leave --size ${partition} out, or give at most that`,
    details: { partition, length },
  });
}

/** What would make a layout fit; each alone is enough. */
export interface LayoutRemedies {
  readonly fill: boolean;
  readonly gpt: boolean;
  readonly reduce: readonly { readonly number: number; readonly size: Bytes | 'min'; readonly by: Bytes }[];
  readonly drop: readonly number[];
}

/** `needed` is the smallest target that would do. */
export function layoutTooSmall({
  needed,
  missing,
  targetSize,
  remedies,
}: {
  needed: Bytes;
  missing: Bytes;
  targetSize: Bytes;
  remedies: LayoutRemedies;
}): ToolError {
  return new ToolError({
    code: 'safety.layout-too-small',
    message:
      `the target is ${formatBytesExact(missing)} too small: this layout needs ${formatBytesExact(needed)}, ` +
      `the target has ${formatBytesExact(targetSize)}`,
    hint: describeRemedies('Choose a larger target', remedies),
    details: { needed, missing, targetSize, remedies },
  });
}

/** `missing` bytes of the layout lie beyond what an MBR can describe with sectors of that size. */
export function layoutBeyondMbr({
  needed,
  missing,
  sectorSize,
  remedies,
}: {
  needed: Bytes;
  missing: Bytes;
  sectorSize: Bytes;
  remedies: LayoutRemedies;
}): ToolError {
  return new ToolError({
    code: 'safety.layout-beyond-mbr',
    message:
      `this layout needs ${formatBytesExact(needed)}, ${formatBytesExact(missing)} more than an MBR can describe: it ` +
      `counts sectors with 32 bits, and the target's have ${sectorSize} bytes`,
    hint: describeRemedies('Choose smaller sizes', remedies),
    details: { needed, missing, sectorSize, remedies },
  });
}

const MOST_NAMED = 3;

function describeRemedies(first: string, { fill, gpt, reduce, drop }: LayoutRemedies): string {
  const ways: string[] = [];
  if (fill) ways.push('use --layout fill');
  if (gpt) ways.push('use --table gpt');
  for (const { number, size, by } of reduce.slice(0, MOST_NAMED)) {
    ways.push(`reduce partition ${number} by ${formatBytesExact(by)} with --size ${number}=${sizeText(size)}`);
  }
  if (drop.length > 0) ways.push(`leave out partition ${drop.slice(0, MOST_NAMED).join(' or ')} with --only`);
  return [first, ...ways].join(', or ');
}

/** As `--size` takes it; exact, because rounded up it might not fit. */
function sizeText(size: Bytes | 'min'): string {
  if (size === 'min') return size;
  return size % GiB === 0 ? `${size / GiB}G` : size % MiB === 0 ? `${size / MiB}M` : `${size}`;
}
