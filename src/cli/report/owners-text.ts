// What lies at places of a disk, a line a place.
// Invariant: names come from the disk; what a terminal would obey is left out of them.

import type { PlaceOwner, PlaceOwners } from '../../operation/owners.js';
import { printable } from '../../plan/target-content.js';

export function ownersText({ places }: PlaceOwners): string {
  return places.map(placeLine).join('\n');
}

function placeLine(place: PlaceOwner): string {
  const { offset, volume, filesystem } = place;
  const where = [volume, filesystem].filter(Boolean).join(', ');
  return `${offset}: ${where}${where && ': '}${ownerText(place)}`;
}

function ownerText({ kind, names, volume }: PlaceOwner): string {
  if (kind === 'free') return volume ? 'free' : 'between the partitions';
  if (names.length === 0) return 'cannot tell what lies there';
  const text = names.map(printable).join(', ');
  return kind === 'file' ? `file ${text}` : text;
}
