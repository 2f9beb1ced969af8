// What could not be read, in words: how much, what the target holds there, where it is and whose it was.
// Invariant: nothing is called saved that is not.

import { formatBytes } from '../../base/units.js';
import type { DamageOwner, Unreadable, UnreadableExtent, UnreadableVolume } from '../../operation/clone-types.js';
import { printable } from '../../plan/target-content.js';

const SHOWN = 20;
const SECTOR = 512;

export function rescueText({ bytes, zeros, kept, rebuilt, volumes, mapfile }: Unreadable): string[] {
  const places = volumes.reduce((sum, { count }) => sum + count, 0);
  const fates = [
    zeros > 0 ? `${formatBytes(zeros)} are zeros on the target` : '',
    kept > 0 ? `of ${formatBytes(kept)} the target keeps what earlier runs put there` : '',
    rebuilt > 0 ? `${formatBytes(rebuilt)} of the partition table were made anew` : '',
  ].filter((fate) => fate !== '');
  return [
    `${formatBytes(bytes)} of the source could not be read, in ${places} ${places === 1 ? 'place' : 'places'}: ${fates.join('; ')}.`,
    ...volumes.flatMap(volumeLines),
    ...(mapfile ? [`The mapfile (GNU ddrescue) is ${mapfile}.`] : []),
    'Run the same command again to try once more; what can be read then is brought up to date.',
  ];
}

function volumeLines({ name, extents, count, owners, ownerCount }: UnreadableVolume): string[] {
  const shown = extents.slice(0, SHOWN);
  const named = owners.filter(({ kind }) => kind !== 'free').slice(0, SHOWN);
  const hidden = owners.filter(({ kind }) => kind !== 'free').length - named.length + (ownerCount - owners.length);
  return [
    `  ${name}:`,
    ...shown.map((extent) => `    ${extentText(extent)}`),
    ...(count > shown.length ? [`    and ${count - shown.length} more places`] : []),
    ...named.map((owner) => `    ${ownerText(owner)}`),
    ...(hidden > 0 ? [`    and ${hidden} more damaged files or structures`] : []),
  ];
}

function extentText({ offset, length, fate, run, tried }: UnreadableExtent): string {
  const place = `${formatBytes(length)} at byte ${offset} (LBA ${Math.floor(offset / SECTOR)})`;
  return `${place}: ${fateText(fate, run)}${tried ? '' : ', not gone over (time was up)'}`;
}

function fateText(fate: UnreadableExtent['fate'], run: string | undefined): string {
  if (fate === 'zeros') return 'zeros';
  if (fate === 'rebuilt') return 'made anew';
  return run ? `kept from the run of ${run.slice(0, 16).replace('T', ' ')} UTC` : 'kept from an earlier run';
}

function ownerText({ extent, kind, names }: DamageOwner): string {
  const what = kind === 'file' ? 'damaged file' : 'damaged structure';
  const name = names.length > 0 ? names.map(printable).join(', ') : 'of unknown name';
  return `${what}: ${name} (${formatBytes(extent.length)} at byte ${extent.offset})`;
}
