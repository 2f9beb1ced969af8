// Which IDs two disks have in common: systems that find both of them attached take one for the other.
// Invariant: pure; an ID that is empty equals nothing.

import type { DiskIds } from './twin-identity.js';

export interface EqualId {
  readonly what: 'disk' | 'partition' | 'volume';
  /** As the first of the two disks spells it. */
  readonly id: string;
  /** How each disk calls what bears it: the names of its partitions or volumes; empty for the disk itself. */
  readonly first: string;
  readonly second: string;
}

/** In the order of the first disk: the disk itself, its partitions, its volumes. */
export function equalIds(a: DiskIds, b: DiskIds): EqualId[] {
  const second = new Map<string, string>();
  for (const { what, id, name } of idsOf(b)) {
    const key = `${what} ${id.toLowerCase()}`;
    if (!second.has(key)) second.set(key, name);
  }
  return idsOf(a).flatMap(({ what, id, name }) => {
    const other = second.get(`${what} ${id.toLowerCase()}`);
    return other === undefined ? [] : [{ what, id, first: name, second: other }];
  });
}

function idsOf({ table, volumes }: DiskIds): { what: EqualId['what']; id: string; name: string }[] {
  const partitions = table?.partitions ?? [];
  return [
    { what: 'disk' as const, id: table?.id ?? '', name: '' },
    ...partitions.map(({ id, number }) => ({ what: 'partition' as const, id, name: `partition ${number}` })),
    ...volumes.map(({ filesystem, name }) => ({ what: 'volume' as const, id: filesystem?.uuid ?? '', name })),
  ].filter(({ id }) => id !== '');
}
