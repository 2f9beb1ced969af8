// A new chain for an extended partition whose logical partitions move: one record before each of them.
// Invariant: the chain keeps its order, because that is what numbers logical partitions; records lie on nothing else.
// Specification: the behaviour of Linux (block/partitions/msdos.c): data counts from its record, links from the head.

import { noRoomForRecord, outsideContainer, placeNotAligned } from '../base/errors/partition-places.js';
import { type Bytes, MiB } from '../base/units.js';
import { type Extent, extentEnd } from '../map/extent.js';
import { type ChainRecord, EXTENDED } from './mbr-chain.js';
import { ENTRIES_END, ENTRIES_OFFSET, readEntries, writePlacedEntry } from './mbr-entry.js';
import { furthestEnd, isMoved, lbaRange, mbrRange, type Placed } from './places.js';
import { resized } from './sectors.js';
import { type Ebr, type ExtendedContainer, partitionLabel } from './table.js';

/** An extended partition of the target. */
export interface RebuiltContainer {
  readonly extent: Extent;
  readonly records: readonly ChainRecord[];
}

export interface RebuildWish {
  /** The kept logical partitions, in the order of the chain; not empty unless `wish` is given. */
  readonly logicals: readonly Placed[];
  /** What else lies on the target: other partitions and records. */
  readonly taken: readonly Extent[];
  /** Of the target. */
  readonly sectorSize: Bytes;
  /** The records may keep their places: the target's sectors are the source's. */
  readonly sameSectors: boolean;
  /** The extended partition itself; as small as possible if undefined. */
  readonly wish: Extent | undefined;
}

/**
 * The extended partition with a new chain. Throws `safety.no-room-for-record`, `safety.outside-container`, and
 * `safety.place-not-aligned` for a container that was asked for.
 */
export function rebuildContainer(container: ExtendedContainer, wish: RebuildWish): RebuiltContainer {
  if (wish.wish) refuseContainer(wish.wish, wish);
  const places = recordPlaces(container, wish);
  const head = wish.wish?.offset ?? Math.min(...places.values());
  const extent = wish.wish ?? { offset: head, length: furthestEnd(wish.logicals) - head };
  mbrRange(`extended partition ${container.slot + 1}`, extent, wish.sectorSize); // all of its entries count less
  return { extent, records: writeChain(container, { ...wish, places, head }) };
}

/** Where the record of each logical partition goes, by its number on the source; bytes. */
type RecordPlaces = ReadonlyMap<number, Bytes>;

function recordPlaces(container: ExtendedContainer, wish: RebuildWish): RecordPlaces {
  const { logicals, sectorSize } = wish;
  const places = new Map<number, Bytes>();
  const taken = [...wish.taken, ...logicals.map(({ extent }) => extent)];
  const put = (one: Placed, offset: Bytes): void => {
    places.set(one.source.number, offset);
    taken.push({ offset, length: sectorSize });
  };
  const [first] = logicals;
  const ascending = [...logicals].sort((a, b) => a.extent.offset - b.extent.offset);
  const [lowest] = ascending;
  // The head describes the first of the chain, wherever that lies, and starts the container.
  if (first && wish.wish) put(first, wish.wish.offset);
  else if (first && lowest && first !== lowest) put(first, placeBefore(lowest, { taken, sectorSize, spare: 1 }));
  for (const one of ascending) {
    if (places.has(one.source.number)) continue;
    const former = wish.sameSectors && !isMoved(one) ? formerRecord(container, one) : undefined;
    put(one, placeBefore(one, { taken, sectorSize, former: former && former.lba * sectorSize }));
  }
  return places;
}

function formerRecord({ chain }: ExtendedContainer, { source }: Placed): Ebr | undefined {
  return chain.find(({ logicals }) => logicals.some(({ number }) => number === source.number));
}

/** A free sector before a logical partition: where it was, 1 MiB before, or right before it and `spare` other sectors. */
function placeBefore(
  { source, extent }: Placed,
  options: { taken: readonly Extent[]; sectorSize: Bytes; former?: Bytes | undefined; spare?: number },
): Bytes {
  const { taken, sectorSize, former, spare = 0 } = options;
  const start = Math.max(0, ...taken.filter(({ offset }) => offset < extent.offset).map(extentEnd));
  const end = extent.offset - spare * sectorSize;
  const aligned = extent.offset % MiB === 0 ? extent.offset - MiB : undefined;
  const found = [former, aligned, end - sectorSize].find(
    (offset) => offset !== undefined && offset >= start && offset + sectorSize <= end,
  );
  if (found === undefined) throw noRoomForRecord(partitionLabel(source), extent.offset / sectorSize);
  return found;
}

function refuseContainer(container: Extent, { logicals, sectorSize }: RebuildWish): void {
  const { offset, length } = container;
  if (offset % sectorSize !== 0 || length % sectorSize !== 0 || length <= 0 || offset <= 0) {
    throw placeNotAligned('the extended partition', container, sectorSize);
  }
  for (const { source, extent } of logicals) {
    if (extent.offset >= offset + sectorSize && extentEnd(extent) <= extentEnd(container)) continue;
    const [place, limits] = [lbaRange(extent, sectorSize), lbaRange(container, sectorSize)];
    throw outsideContainer(partitionLabel(source), place, limits);
  }
}

function writeChain(
  container: ExtendedContainer,
  { logicals, places, head, sectorSize }: RebuildWish & { places: RecordPlaces; head: Bytes },
): ChainRecord[] {
  const headSector = container.chain[0]?.sector;
  const placeOf = (one: Placed): number => (places.get(one.source.number) ?? head) / sectorSize;
  if (logicals.length === 0) return [{ lba: head / sectorSize, sector: emptyRecord(headSector, sectorSize) }];
  return logicals.map((one, index) => {
    const former = formerRecord(container, one);
    const lba = placeOf(one);
    const sector = emptyRecord(index === 0 ? headSector : former?.sector, sectorSize);
    const { first, last } = lbaRange(one.extent, sectorSize);
    const slot = former?.logicals.find(({ number }) => number === one.source.number)?.slot ?? 0;
    const bootFlag = former ? (readEntries(former.sector)[slot]?.bootFlag ?? 0) : 0;
    const type = Number(one.source.type);
    writePlacedEntry(sector, { slot: 0, bootFlag, type, start: first - lba, count: last - first + 1, lba: first });
    const next = logicals[index + 1];
    if (next) {
      const to = placeOf(next);
      const count = lbaRange(next.extent, sectorSize).last - to + 1;
      writePlacedEntry(sector, { slot: 1, bootFlag: 0, type: EXTENDED, start: to - head / sectorSize, count, lba: to });
    }
    return { lba, sector };
  });
}

/** A record with the loader code of `former`, but without entries. */
function emptyRecord(former: Buffer | undefined, sectorSize: Bytes): Buffer {
  const sector = resized(former ?? Buffer.alloc(sectorSize), sectorSize);
  sector.fill(0, ENTRIES_OFFSET, ENTRIES_END);
  sector[510] = 0x55;
  sector[511] = 0xaa;
  return sector;
}
