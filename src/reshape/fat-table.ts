// The whole table of a FAT16 or FAT32 in memory, and what becomes of its clusters in another layout.
// Invariant: a cluster that is used goes to exactly one new number; links, chains and their order stay.

import { FormatError } from '../base/u64.js';
import type { Bytes } from '../base/units.js';
import type { BootSector } from '../filesystem/fat/boot-sector.js';
import { FIRST_CLUSTER } from '../filesystem/fat/table.js';
import type { Source } from '../source/types.js';
import type { FatLayout } from './fat-layout.js';

/** Of FAT32, 28 bits count. */
const MASK = { 16: 0xffff, 32: 0x0fffffff } as const;
const BAD = { 16: 0xfff7, 32: 0x0ffffff7 } as const;
const FREE = 0;

export interface FatTable {
  readonly bits: 16 | 32;
  /** As they lie there, by cluster number; the first two are no clusters. */
  readonly entries: Uint32Array;
}

export interface Relocation {
  readonly from: number;
  /** Numbers of the old layout, both. */
  readonly to: number;
}

/** Throws FormatError if the table is too short for its clusters. */
export async function loadTable(source: Source, boot: BootSector & { readonly bits: 16 | 32 }): Promise<FatTable> {
  const { bits } = boot;
  const count = boot.clusterCount + FIRST_CLUSTER;
  const width = bits / 8;
  if (count * width > boot.tableSize) throw new FormatError('the FAT is too short for its clusters');
  const bytes = Buffer.alloc(count * width);
  await source.read(bytes, boot.tableOffset);
  const entries = new Uint32Array(count);
  for (let index = 0; index < count; index += 1) {
    entries[index] = bits === 16 ? bytes.readUInt16LE(index * 2) : bytes.readUInt32LE(index * 4);
  }
  return { bits, entries };
}

export function countUsed({ bits, entries }: FatTable): number {
  let used = 0;
  for (let cluster = FIRST_CLUSTER; cluster < entries.length; cluster += 1) {
    if (isUsed(entries[cluster] ?? 0, bits)) used += 1;
  }
  return used;
}

/**
 * The used clusters that have no place in the new layout, and the free ones that take them, both ascending.
 * Undefined: there are not enough free ones, or a bad one lies where a table would.
 */
export function relocations({ bits, entries }: FatTable, layout: FatLayout): Relocation[] | undefined {
  const first = FIRST_CLUSTER + layout.swallowed;
  const end = first + layout.clusterCount;
  const homeless: number[] = [];
  for (let cluster = FIRST_CLUSTER; cluster < entries.length; cluster += 1) {
    if (cluster >= first && cluster < end) continue;
    const value = entries[cluster] ?? 0;
    if (cluster < first && (value & MASK[bits]) === BAD[bits]) return undefined;
    if (isUsed(value, bits)) homeless.push(cluster);
  }
  const result: Relocation[] = [];
  for (let to = first; to < end && result.length < homeless.length; to += 1) {
    // Behind the old end everything is free.
    const value = to < entries.length ? (entries[to] ?? 0) : FREE;
    if ((value & MASK[bits]) === FREE) result.push({ from: homeless[result.length] ?? 0, to });
  }
  return result.length === homeless.length ? result : undefined;
}

export interface Renumbered {
  /** As long as one table of the new layout. */
  readonly bytes: Buffer;
  readonly free: number;
  readonly firstFree: number;
  /** The new number of an old cluster. Throws FormatError for a number that no used cluster has. */
  readonly numberOf: (cluster: number) => number;
}

/** The table in the new layout. Throws FormatError if a chain leads nowhere. */
export function renumber(
  { bits, entries }: FatTable,
  layout: FatLayout,
  { moves, tableSize }: { moves: readonly Relocation[]; tableSize: Bytes },
): Renumbered {
  const moved = new Map(moves.map(({ from, to }) => [from, to]));
  const numberOf = (cluster: number): number => {
    if (cluster < FIRST_CLUSTER || cluster >= entries.length || !isUsed(entries[cluster] ?? 0, bits)) {
      throw new FormatError(`cluster ${cluster} is referred to, but not in use`);
    }
    return (moved.get(cluster) ?? cluster) - layout.swallowed;
  };
  const bytes = Buffer.alloc(tableSize);
  const put = (cluster: number, value: number): void => {
    if (bits === 16) bytes.writeUInt16LE(value, cluster * 2);
    else bytes.writeUInt32LE(value >>> 0, cluster * 4);
  };
  put(0, entries[0] ?? 0);
  put(1, entries[1] ?? 0);
  const end = layout.clusterCount + FIRST_CLUSTER;
  let taken = 0;
  for (let cluster = FIRST_CLUSTER; cluster < entries.length; cluster += 1) {
    const value = entries[cluster] ?? 0;
    const counts = value & MASK[bits];
    if (counts === FREE) continue;
    if (counts === BAD[bits]) {
      const at = cluster - layout.swallowed;
      if (at < end) put(at, value);
      taken += at < end ? 1 : 0;
      continue;
    }
    put(numberOf(cluster), counts > BAD[bits] ? value : (value & ~MASK[bits]) | numberOf(counts));
    taken += 1;
  }
  return { bytes, free: layout.clusterCount - taken, firstFree: firstFreeIn(bytes, { bits, end }), numberOf };
}

function firstFreeIn(bytes: Buffer, { bits, end }: { bits: 16 | 32; end: number }): number {
  for (let cluster = FIRST_CLUSTER; cluster < end; cluster += 1) {
    const value = bits === 16 ? bytes.readUInt16LE(cluster * 2) : bytes.readUInt32LE(cluster * 4) & MASK[32];
    if (value === FREE) return cluster;
  }
  return 0xffffffff;
}

/** All entries of the chain, `first` included. Throws FormatError for a chain that loops or leads nowhere. */
export function chainOf({ bits, entries }: FatTable, first: number): number[] {
  const chain: number[] = [];
  for (let cluster = first; ; ) {
    const value = entries[cluster];
    if (cluster < FIRST_CLUSTER || value === undefined || !isUsed(value, bits) || chain.length > entries.length) {
      throw new FormatError(`the chain from cluster ${first} leads nowhere`);
    }
    chain.push(cluster);
    const next = value & MASK[bits];
    if (next > BAD[bits]) return chain;
    cluster = next;
  }
}

function isUsed(value: number, bits: 16 | 32): boolean {
  const counts = value & MASK[bits];
  return counts !== FREE && counts !== BAD[bits];
}
