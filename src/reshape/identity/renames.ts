// Old IDs as they stand in texts, and the new ones that take their place.
// Invariant: a replacement is as long as what it replaces, and spelt as that was: in capitals or not.

import type { Bytes } from '../../base/units.js';
import { isSignature, isUuid, mbrPartitionId } from './id-forms.js';
import type { DiskIds, TwinIdentity } from './twin-identity.js';

export interface Rename {
  /** As blkid prints it. */
  readonly from: string;
  readonly to: string;
}

export interface Replacement {
  /** In the text. */
  readonly at: Bytes;
  readonly bytes: Buffer;
}

/**
 * Everything that gets another ID: the disk, its partitions, its volumes. `old`: the source as it is. Of two volumes with the
 * same ID a reference means the first: nobody can tell which one was meant.
 */
export function renamesOf(old: DiskIds, { diskId, partitionIds, volumes }: TwinIdentity): Rename[] {
  const renames: Rename[] = [];
  const add = (from: string, to: string | undefined): void => {
    const isNew = !renames.some((known) => known.from.toLowerCase() === from.toLowerCase());
    if (from !== '' && to?.length === from.length && isNew) renames.push({ from, to });
  };
  add(old.table?.id ?? '', diskId || undefined);
  for (const { number, id } of old.table?.partitions ?? []) add(id, partitionIds[number]);
  for (const { filesystem, partition } of old.volumes) add(filesystem?.uuid ?? '', volumes[partition?.number ?? 0]);
  return renames;
}

/** Finds all old IDs in bytes of text; ascending, without overlaps. */
export type Finder = (text: Buffer) => Replacement[];

/**
 * Whole words only. What is long enough to be nothing else may stand behind a hyphen ("gnulinux-simple-UUID"); the signature of
 * an MBR is eight digits that could mean anything, so it counts as PTUUID only.
 */
export function finderOf(renames: readonly Rename[]): Finder {
  const targets = new Map(renames.map(({ from, to }) => [from.toLowerCase(), to]));
  const words = [...targets.keys()];
  const patterns = [
    patternOf(words.filter(isUuid), '(?<![0-9a-z_])', '(?![0-9a-z_-])'),
    patternOf(
      words.filter((word) => !isUuid(word) && !isSignature(word)),
      '(?<![0-9a-z_-])',
      '(?![0-9a-z_-])',
    ),
    patternOf(words.filter(isSignature), '(?<=\\bptuuid=["\']?)', '(?![0-9a-z_-])'),
  ].flatMap((pattern) => pattern ?? []);
  return (bytes) => {
    const text = bytes.toString('latin1');
    const found = patterns.flatMap((pattern) =>
      [...text.matchAll(pattern)].map(({ index, 0: word }) => ({
        at: index,
        bytes: Buffer.from(speltAs(word, targets.get(word.toLowerCase()) ?? word), 'latin1'),
      })),
    );
    return found.sort((a, b) => a.at - b.at);
  };
}

function patternOf(words: readonly string[], before: string, after: string): RegExp | undefined {
  return words.length === 0 ? undefined : new RegExp(`${before}(?:${words.join('|')})${after}`, 'gi');
}

/** Without letters it says nothing of its spelling, and the usual one is right. */
function speltAs(word: string, id: string): string {
  if (/[a-f]/.test(word)) return id.toLowerCase();
  return /[A-F]/.test(word) ? id.toUpperCase() : id;
}

/** The longest ID: how much two pieces of a file must overlap for none to be missed, with a character around it. */
export const LONGEST_WORD: Bytes = 'PTUUID="'.length + mbrPartitionId('00000000', 0).length + 36;
