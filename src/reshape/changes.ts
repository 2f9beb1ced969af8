// What a qcow2 file holds of a view: its allocated clusters, as places in the file itself, so that nobody needs qemu to
// read them. Invariant: clusters are plain (not compressed, not encrypted); anything else is refused.
// Format: `qemu-img map --output=json` (qemu docs/tools/qemu-img.rst).

import { overlayDamaged } from '../base/errors/reshape.js';
import type { Bytes } from '../base/units.js';
import { extentEnd } from '../map/extent.js';
import type { Change } from '../source/overlay.js';
import { runProgram } from './program.js';

/** The file names no file behind it, so "not present" means: as in the source. Ascending, neighbours joined. */
export async function changesOf(
  qcow2: string,
  { volume, signal }: { volume: string; signal: AbortSignal | undefined },
): Promise<Change[]> {
  const { stdout } = await runProgram('qemu-img', ['map', '--output=json', '-f', 'qcow2', qcow2], {
    purpose: `list what has changed in ${volume}`,
    volume,
    signal,
  });
  const changes: Change[] = [];
  for (const part of partsIn(stdout, qcow2)) {
    const last = changes.at(-1);
    if (last && follows(part, last)) changes[changes.length - 1] = { ...last, length: last.length + part.length };
    else changes.push(part);
  }
  return changes;
}

function follows(next: Change, last: Change): boolean {
  if (next.offset !== extentEnd(last)) return false;
  return last.place === undefined ? next.place === undefined : next.place === last.place + last.length;
}

function* partsIn(text: string, path: string): Generator<Change> {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) throw overlayDamaged(path, 'qemu-img lists nothing');
  for (const entry of list as readonly unknown[]) {
    const { start, length, present, zero, data, offset } = (entry ?? {}) as Readonly<Record<string, unknown>>;
    if (!isBytes(start) || !isBytes(length)) throw overlayDamaged(path, 'an entry of qemu-img has no place');
    if (present !== true) continue;
    if (zero === true) yield { offset: start, length, place: undefined };
    else if (data === true && isBytes(offset)) yield { offset: start, length, place: offset };
    else throw overlayDamaged(path, `qemu-img does not say where byte ${start} lies`);
  }
}

function isBytes(value: unknown): value is Bytes {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
