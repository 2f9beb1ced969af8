// A source with changes laid over it: unchanged bytes come from the base, changed ones from a file beside the list.
// Invariant: every entry of the list was checked when it was opened, so no read leaves the base or the file of changes.

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cannotOpen } from '../base/errors/device.js';
import { overlayDamaged } from '../base/errors/reshape.js';
import type { Bytes } from '../base/units.js';
import { type Extent, extentEnd } from '../map/extent.js';
import { checkedSource } from './checked.js';
import { openDiskSource } from './disk.js';
import type { Source, SourceExtent, SourceSpec } from './types.js';

/** Bytes of the view that are not those of the base. */
export interface Change extends Extent {
  /** Where they lie in the file of changes; undefined: they are zeros. */
  readonly place: Bytes | undefined;
}

export type OverlaySpec = Extract<SourceSpec, { kind: 'overlay' }>;

/** "ectypeOV", number of changes (u64), length of the file's name (u64), the name, three u64 a change. */
const MAGIC = 'ectypeOV';
const HEAD_LENGTH = 24;
const ENTRY_LENGTH = 24;
const ZEROS = 2n ** 64n - 1n;

/** Writes the list; `file` is a name in the list's own folder. `changes`: ascending, without overlaps. */
export function saveChanges(path: string, file: string, changes: readonly Change[]): void {
  const name = Buffer.from(file);
  const bytes = Buffer.alloc(HEAD_LENGTH + name.length + changes.length * ENTRY_LENGTH);
  bytes.write(MAGIC, 0, 'latin1');
  bytes.writeBigUInt64LE(BigInt(changes.length), 8);
  bytes.writeBigUInt64LE(BigInt(name.length), 16);
  name.copy(bytes, HEAD_LENGTH);
  changes.forEach(({ offset, length, place }, index) => {
    const at = HEAD_LENGTH + name.length + index * ENTRY_LENGTH;
    bytes.writeBigUInt64LE(BigInt(offset), at);
    bytes.writeBigUInt64LE(BigInt(length), at + 8);
    bytes.writeBigUInt64LE(place === undefined ? ZEROS : BigInt(place), at + 16);
  });
  writeFileSync(path, bytes, { mode: 0o600 });
}

interface ChangeList {
  readonly path: string;
  readonly changes: readonly Change[];
}

function loadChanges({ changes: path, size }: OverlaySpec): ChangeList {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw cannotOpen(path, cause);
  }
  const demand = (condition: boolean, reason: string): void => {
    if (!condition) throw overlayDamaged(path, reason);
  };
  demand(bytes.length >= HEAD_LENGTH && bytes.toString('latin1', 0, 8) === MAGIC, 'it is something else');
  const count = Number(bytes.readBigUInt64LE(8));
  const nameLength = Number(bytes.readBigUInt64LE(16));
  demand(HEAD_LENGTH + nameLength + count * ENTRY_LENGTH === bytes.length, 'it has another length than it says');
  const name = bytes.toString('utf8', HEAD_LENGTH, HEAD_LENGTH + nameLength);
  demand(name !== '' && !name.includes('/'), 'it names no file beside it');
  const file = join(dirname(path), name);
  const available = sizeOf(file);
  const changes: Change[] = [];
  let end = 0;
  for (let at = HEAD_LENGTH + nameLength; at < bytes.length; at += ENTRY_LENGTH) {
    const change = changeAt(bytes, at);
    demand(change.length > 0 && change.offset >= end && extentEnd(change) <= size, 'its entries do not fit');
    demand((change.place ?? 0) + (change.place === undefined ? 0 : change.length) <= available, 'its file is cut off');
    changes.push(change);
    end = extentEnd(change);
  }
  return { path: file, changes };
}

/** Where the overlay shows something else than its base. */
export function changedPlaces(spec: OverlaySpec): readonly Extent[] {
  return loadChanges(spec).changes;
}

function changeAt(bytes: Buffer, at: number): Change {
  const place = bytes.readBigUInt64LE(at + 16);
  return {
    offset: Number(bytes.readBigUInt64LE(at)),
    length: Number(bytes.readBigUInt64LE(at + 8)),
    place: place === ZEROS ? undefined : Number(place),
  };
}

function sizeOf(file: string): Bytes {
  try {
    return statSync(file).size;
  } catch (cause) {
    throw cannotOpen(file, cause);
  }
}

/** Takes over `base`: closes it when it is closed itself, and when it cannot be opened. */
export function openOverlay(spec: OverlaySpec, base: Source): Source {
  try {
    const { path, changes } = loadChanges(spec);
    const file = openDiskSource(path);
    return checkedSource(overlay(spec, changes, { base, file }));
  } catch (error) {
    void base.close();
    throw error;
  }
}

/** One run of bytes that come from one place; `from` undefined: zeros. */
interface Part extends Extent {
  readonly from: Source | undefined;
  readonly at: Bytes;
}

function overlay(
  spec: OverlaySpec,
  changes: readonly Change[],
  { base, file }: { base: Source; file: Source },
): Source {
  const parts = (within: Extent): Generator<Part> => partsOf(changes, within, { base, file });
  return {
    name: `${base.name} at ${spec.size} bytes`,
    size: spec.size,
    sectorSize: base.sectorSize,
    spec,
    async read(into, offset) {
      for (const part of parts({ offset, length: into.length })) {
        const bytes = into.subarray(part.offset - offset, extentEnd(part) - offset);
        if (part.from) await part.from.read(bytes, part.at);
        else bytes.fill(0);
      }
    },
    async *extents(within) {
      for (const part of parts(within)) yield* extentsOf(part, base);
    },
    async close() {
      await file.close();
      await base.close();
    },
  };
}

async function* extentsOf({ offset, length, from, at }: Part, base: Source): AsyncGenerator<SourceExtent> {
  if (from !== base || !base.extents) {
    yield { offset, length, kind: from ? 'data' : 'zero' };
    return;
  }
  for await (const extent of base.extents({ offset: at, length })) {
    yield { ...extent, offset: extent.offset - at + offset };
  }
}

function* partsOf(
  changes: readonly Change[],
  within: Extent,
  { base, file }: { base: Source; file: Source },
): Generator<Part> {
  const end = extentEnd(within);
  let position = within.offset;
  for (let index = firstEndingAfter(changes, position); position < end; index += 1) {
    const change = changes[index];
    const until = Math.min(change?.offset ?? end, end);
    if (until > position) yield* unchanged({ offset: position, length: until - position }, base);
    position = Math.max(position, until);
    if (!change || position >= end) return;
    const length = Math.min(extentEnd(change), end) - position;
    const at = change.place === undefined ? 0 : change.place + position - change.offset;
    yield { offset: position, length, from: change.place === undefined ? undefined : file, at };
    position += length;
  }
}

/** Beyond the end of the base there are zeros. */
function* unchanged({ offset, length }: Extent, base: Source): Generator<Part> {
  const inside = Math.max(0, Math.min(length, base.size - offset));
  if (inside > 0) yield { offset, length: inside, from: base, at: offset };
  if (inside < length) yield { offset: offset + inside, length: length - inside, from: undefined, at: 0 };
}

function firstEndingAfter(changes: readonly Change[], offset: Bytes): number {
  let low = 0;
  let high = changes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const change = changes[middle];
    if (change && extentEnd(change) <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}
