// Where the source's volumes go on the target, and what that means for each of them.
// Invariant: a volume that no place names stays where it is, as large as it is.

import type { Bytes } from '../base/units.js';
import type { Extent } from '../map/extent.js';
import type { VolumeReport } from './inspect.js';

/** Stands for the number of a volume without a partition table around it. */
export const WITHOUT_TABLE = 0;

/** By the partitions' numbers on the source; 0 for a volume without a table. */
export interface NewIds {
  /** GUID of a GPT, signature of an MBR; empty where there is none. */
  readonly diskId: string;
  readonly partitionIds: Readonly<Record<number, string>>;
  /** Of file systems and swap areas. */
  readonly volumes: Readonly<Record<number, string>>;
}

export interface Arrangement {
  /** By the partitions' numbers on the source; on the target. */
  readonly places: ReadonlyMap<number, Extent>;
  /** The extended partition that holds the logical ones of an MBR; computed if missing. */
  readonly container: Extent | undefined;
  /** The IDs of a twin; those of the source if missing. */
  readonly identity: NewIds | undefined;
  /** GUIDs for the GPT that takes the place of an MBR; it stays an MBR if missing. */
  readonly converted: Omit<NewIds, 'volumes'> | undefined;
  /** For the user, a sentence each without the full stop. */
  readonly notes: readonly string[];
}

export const UNMOVED: Arrangement = {
  places: new Map(),
  container: undefined,
  identity: undefined,
  converted: undefined,
  notes: [],
};

/** Where `volume` goes. */
export function placeOf({ places }: Arrangement, { partition, extent }: VolumeReport): Extent {
  return places.get(partition?.number ?? WITHOUT_TABLE) ?? extent;
}

/** What becomes of a volume on its way. */
export type Fate = 'same' | 'moved' | 'grown' | 'shrunk';

export function fateOf(source: Extent, target: Extent): Fate {
  if (target.length > source.length) return 'grown';
  if (target.length < source.length) return 'shrunk';
  return target.offset === source.offset ? 'same' : 'moved';
}

/** Sector sizes on either side; undefined for media that have none of their own. */
export interface SectorSizes {
  readonly source: Bytes | undefined;
  readonly target: Bytes | undefined;
}

export function sectorsDiffer({ source, target }: SectorSizes): boolean {
  return source !== undefined && target !== undefined && source !== target;
}
