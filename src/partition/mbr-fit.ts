// Writes an MBR and its extended partitions for another disk, with fewer partitions or with other places for them.
// Invariant: a container whose logical partitions stay keeps its place and its chain; what did not change is not written
// anew, so that a table fitted to its own disk comes out byte for byte.

import { targetTooSmall } from '../base/errors/partition.js';
import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd, overlaps } from '../map/extent.js';
import { type ChainRecord, EXTENDED, fitChain } from './mbr-chain.js';
import {
  clearEntry,
  diskSignature,
  readEntries,
  writeDiskSignature,
  writeEntry,
  writePlacedEntry,
} from './mbr-entry.js';
import { mbrPartitionId } from './mbr-read.js';
import { rebuildContainer } from './mbr-rebuild.js';
import { type Fit, isMoved, mbrRange, type Placed, refuseSharedPlaces, toPiece } from './places.js';
import { resized } from './sectors.js';
import {
  type ExtendedContainer,
  type FittedPartition,
  type MbrTable,
  partitionLabel,
  type TableImage,
} from './table.js';

const FIRST_LOGICAL = 5;

/** An extended partition that the target gets. */
interface FittedContainer {
  readonly slot: number;
  readonly extent: Extent;
  readonly records: readonly ChainRecord[];
  /** Its chain is a new one, not that of the source. */
  readonly rebuilt: boolean;
}

/** The bytes of `table` with the partitions and places of `fit`. `wish` is for the first extended partition kept. */
export function fitMbr(table: MbrTable, fit: Fit, wish: Extent | undefined): TableImage {
  const { sectorSize, targetSize, placed, identity } = fit;
  const usable = Math.floor(targetSize / sectorSize) * sectorSize;
  const containers = fitContainers(table, fit, wish);
  const needed = neededBytes(placed, containers, sectorSize);
  if (usable < needed) throw targetTooSmall({ needed, targetSize });
  const fitted = containers.map((one) => shortened(one, usable));
  refuseOnTable(fit, fitted);

  const mbr = resized(table.raw.mbr, sectorSize);
  if (identity) writeDiskSignature(mbr, identity.diskId);
  writePrimaries(mbr, table, fit);
  writeContainers(mbr, table, { fitted, sectorSize });
  return {
    writes: [
      ...fitted.flatMap(({ records }) =>
        records.map(({ lba, sector }) => ({ offset: lba * sectorSize, bytes: sector })),
      ),
      { offset: 0, bytes: mbr },
    ],
    partitions: renumbered(placed, diskSignature(mbr)),
  };
}

/** A container with what of it is kept, and whether it stays as it is. */
interface KeptContainer {
  readonly container: ExtendedContainer;
  readonly logicals: readonly Placed[];
  readonly wish: Extent | undefined;
  readonly stays: boolean;
}

/**
 * A container goes when all its logical partitions went; an empty one stays as long as nothing is left out and nothing
 * comes to lie on it.
 */
function fitContainers(table: MbrTable, fit: Fit, wish: Extent | undefined): FittedContainer[] {
  const { placed, sectorSize } = fit;
  const sameSectors = sectorSize === table.sectorSize;
  const whole = placed.length === table.partitions.length;
  const kept = table.raw.containers
    .map((container) => ({ container, logicals: logicalsOf(container, placed) }))
    .filter(({ logicals }) => whole || logicals.length > 0)
    .map((one, index): KeptContainer => {
      const mine = index === 0 ? wish : undefined;
      return { ...one, wish: mine, stays: sameSectors && !isDisturbed(one.container, { ...one, placed, wish: mine }) };
    });
  const taken: Extent[] = [
    { offset: 0, length: sectorSize },
    ...placed.map(({ extent }) => extent),
    ...kept.filter(({ stays }) => stays).map(({ container }) => container.extent),
  ];
  const fitted: FittedContainer[] = [];
  for (const { container, logicals, wish: mine, stays } of kept) {
    const { slot, extent } = container;
    if (stays) {
      fitted.push({ slot, extent, records: fitChain(container, { placed, sectorSize, whole }), rebuilt: false });
    } else if (mine || logicals.length > 0) {
      const rebuilt = rebuildContainer(container, { logicals, taken, sectorSize, sameSectors, wish: mine });
      fitted.push({ slot, ...rebuilt, rebuilt: true });
      taken.push(...rebuilt.records.map(({ lba }) => ({ offset: lba * sectorSize, length: sectorSize })));
    }
  }
  return fitted;
}

/** The kept logical partitions of `container`, in the order of its chain. */
function logicalsOf({ chain }: ExtendedContainer, placed: readonly Placed[]): Placed[] {
  return chain
    .flatMap(({ logicals }) => logicals)
    .flatMap(({ number }) => placed.find(({ source }) => source.number === number) ?? []);
}

/** Whether the container cannot stay as it is: its partitions move, others come to lie on it, or it is to lie elsewhere. */
function isDisturbed(
  { extent }: ExtendedContainer,
  { logicals, placed, wish }: { logicals: readonly Placed[]; placed: readonly Placed[]; wish: Extent | undefined },
): boolean {
  const others = placed.filter((one) => !logicals.includes(one));
  return (
    logicals.some(isMoved) ||
    others.some((one) => overlaps(one.extent, extent)) ||
    (wish !== undefined && (wish.offset !== extent.offset || wish.length !== extent.length))
  );
}

function neededBytes(placed: readonly Placed[], containers: readonly FittedContainer[], sectorSize: Bytes): Bytes {
  return Math.max(
    sectorSize,
    ...placed.map(({ extent }) => extentEnd(extent)),
    ...containers.map(({ extent, rebuilt }) => (rebuilt ? extentEnd(extent) : extent.offset + sectorSize)),
    ...containers.flatMap(({ records }) => records.map(({ lba }) => (lba + 1) * sectorSize)),
  );
}

/** A container may end before the disk's old end: what it has behind its last partition is nothing. */
function shortened(container: FittedContainer, usable: Bytes): FittedContainer {
  const { extent } = container;
  if (extentEnd(extent) <= usable) return container;
  return { ...container, extent: { offset: extent.offset, length: usable - extent.offset } };
}

function refuseOnTable({ placed, sectorSize }: Fit, containers: readonly FittedContainer[]): void {
  refuseSharedPlaces(
    [
      { label: 'the MBR', extent: { offset: 0, length: sectorSize } },
      ...placed.filter(({ source }) => source.role === 'primary').map(toPiece),
      ...containers.map(({ slot, extent }) => ({ label: `extended partition ${slot + 1}`, extent })),
    ],
    sectorSize,
  );
}

function writePrimaries(mbr: Buffer, { partitions, sectorSize }: MbrTable, fit: Fit): void {
  for (const partition of partitions) {
    if (partition.role !== 'primary') continue;
    const slot = partition.number - 1;
    const placed = fit.placed.find(({ source }) => source === partition);
    if (!placed) clearEntry(mbr, slot);
    else if (isMoved(placed) || fit.sectorSize !== sectorSize) {
      const { start, count } = mbrRange(partitionLabel(partition), placed.extent, fit.sectorSize);
      const { type = 0, bootFlag = 0 } = readEntries(mbr)[slot] ?? {};
      writePlacedEntry(mbr, { slot, type, bootFlag, start, count, lba: start });
    }
  }
}

/** One that stays can only become shorter: then the CHS of its start stay too. */
function writeContainers(
  mbr: Buffer,
  { raw }: MbrTable,
  { fitted, sectorSize }: { fitted: readonly FittedContainer[]; sectorSize: Bytes },
): void {
  for (const { slot, extent: before } of raw.containers) {
    const one = fitted.find((each) => each.slot === slot);
    if (!one) {
      clearEntry(mbr, slot);
      continue;
    }
    if (!one.rebuilt && one.extent.length === before.length) continue;
    const { start, count } = mbrRange(`extended partition ${slot + 1}`, one.extent, sectorSize);
    const { type = EXTENDED, bootFlag = 0 } = readEntries(mbr)[slot] ?? {};
    if (one.rebuilt) writePlacedEntry(mbr, { slot, type, bootFlag, start, count, lba: start });
    else writeEntry(mbr, { slot, type, start, count });
  }
}

/** Linux numbers logical partitions without gaps, so those after a dropped one move up. */
function renumbered(placed: readonly Placed[], signature: string): FittedPartition[] {
  let next = FIRST_LOGICAL;
  return placed.map(({ source, extent }) => {
    const number = source.role === 'logical' ? next++ : source.number;
    return { ...source, extent, number, id: mbrPartitionId(signature, number), sourceNumber: source.number };
  });
}
