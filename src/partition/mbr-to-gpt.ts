// Makes a GPT of an MBR. Invariant: partitions keep their numbers, so /dev/sda5 stays /dev/sda5.
// Specification: UEFI 2.10 §5.3; types as in type-names.ts.

import { typeUnknownToGpt } from '../base/errors/partition-places.js';
import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import { MIN_HEADER } from './gpt-copy.js';
import { fitGpt } from './gpt-fit.js';
import { newProtectiveMbr } from './gpt-mbr.js';
import { writeGuid } from './guid.js';
import { clearDiskSignature } from './mbr-entry.js';
import { resolveFit } from './places.js';
import { resized } from './sectors.js';
import { type GptRaw, type MbrTable, type Partition, partitionLabel, type TableImage } from './table.js';
import { gptTypeName } from './type-names.js';

const BASIC_DATA = 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7';
/** GPT types by those of an MBR. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ['0x06', BASIC_DATA],
  ['0x07', BASIC_DATA],
  ['0x0b', BASIC_DATA],
  ['0x0c', BASIC_DATA],
  ['0x0e', BASIC_DATA],
  ['0x27', 'DE94BBA4-06D1-4D40-A16A-BFD50179D6AC'],
  ['0x82', '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F'],
  ['0x83', '0FC63DAF-8483-4772-8E79-3D69D8477DE4'],
  ['0x8e', 'E6D6D379-F507-44C2-A23C-238F2A3DF928'],
  ['0xef', 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B'],
  ['0xfd', 'A19D880F-05FC-4D3B-A006-743F0F84911E'],
]);

const ENTRY_SIZE = 128;
const USUAL_ENTRIES = 128;
/** So many fill whole sectors of any size. */
const ENTRIES_STEP = 32;
const REVISION = 0x00010000;
const PRIMARY_ENTRIES_LBA = 2;
/** Attribute bit 2, "legacy BIOS bootable": what the boot flag of an MBR says. */
const LEGACY_BOOTABLE = '0000000000000004';
const NO_ATTRIBUTES = '0000000000000000';

export interface GptWish {
  readonly targetSize: Bytes;
  /** The target's logical sector size; undefined for a raw file, which takes the table's own. */
  readonly sectorSize: Bytes | undefined;
  /** Numbers of the partitions to keep; all if missing. */
  readonly only?: readonly number[] | undefined;
  /** Where partitions go, by their numbers; those it does not name stay. */
  readonly places: ReadonlyMap<number, Extent>;
  readonly diskGuid: string;
  /** By the partitions' numbers; each that is kept needs one. */
  readonly partitionGuids: ReadonlyMap<number, string>;
}

/**
 * The bytes of a GPT with the partitions of `table`. Logical partitions become ordinary ones; the extended partition is
 * gone. Boot code stays in the protective MBR, but a GRUB in it no longer boots: the gap behind the MBR, where its core
 * image was, holds the GPT now; it has to be installed anew, into a BIOS boot partition or for UEFI.
 * Throws `safety.type-unknown-to-gpt`, and as `fitTable` for places and sizes.
 */
export function convertToGpt(table: MbrTable, wish: GptWish): TableImage {
  const { diskGuid, partitionGuids, ...options } = wish;
  const fit = resolveFit(table, options);
  const placed = fit.placed.map(({ source, extent }) => ({
    source: toGptPartition(source, partitionGuids.get(source.number) ?? ''),
    extent,
  }));
  const partitions = placed.map(({ source }) => source);
  const raw = emptyGpt(table, diskGuid, Math.max(0, ...partitions.map(({ number }) => number)));
  for (const partition of partitions) writeEntry(raw, partition);
  const { sectorSize } = table;
  return fitGpt(
    { kind: 'gpt', sectorSize, id: diskGuid.toLowerCase(), partitions, warnings: [], raw },
    { ...fit, placed },
  );
}

function toGptPartition(partition: Partition, guid: string): Partition {
  const type = TYPES.get(partition.type);
  if (type === undefined) throw typeUnknownToGpt(partitionLabel(partition), partition.type);
  return {
    ...partition,
    type,
    typeName: gptTypeName(type),
    id: guid.toLowerCase(),
    attributes: partition.bootable ? LEGACY_BOOTABLE : NO_ATTRIBUTES,
    role: 'gpt',
  };
}

/** A table without partitions, with room for `highest`. What depends on the target is filled in when it is fitted. */
function emptyGpt({ raw, sectorSize }: MbrTable, diskGuid: string, highest: number): GptRaw {
  const entryCount = Math.max(USUAL_ENTRIES, Math.ceil(highest / ENTRIES_STEP) * ENTRIES_STEP);
  const entries = Buffer.alloc(entryCount * ENTRY_SIZE);
  const header = Buffer.alloc(sectorSize);
  header.write('EFI PART', 'latin1');
  header.writeUInt32LE(REVISION, 8);
  header.writeUInt32LE(MIN_HEADER, 12);
  writeGuid(header, diskGuid, 56);
  header.writeUInt32LE(entryCount, 80);
  header.writeUInt32LE(ENTRY_SIZE, 84);
  const mbr = newProtectiveMbr(resized(raw.mbr, sectorSize), 2);
  clearDiskSignature(mbr);
  return {
    mbr,
    header,
    entries,
    entrySize: ENTRY_SIZE,
    entryCount,
    firstUsable: PRIMARY_ENTRIES_LBA + entries.length / sectorSize,
    lastUsable: 0,
    primaryEntriesLba: PRIMARY_ENTRIES_LBA,
    backup: undefined,
    sectorCount: 2,
    intact: false,
  };
}

function writeEntry({ entries }: GptRaw, partition: Partition): void {
  const entry = entries.subarray((partition.number - 1) * ENTRY_SIZE, partition.number * ENTRY_SIZE);
  writeGuid(entry, partition.type, 0);
  writeGuid(entry, partition.id, 16);
  Buffer.from(partition.attributes, 'hex').reverse().copy(entry, 48);
}
