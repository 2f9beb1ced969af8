// A note in the free space of a cloned volume. The token of a volume that another program copied over the clone, byte
// for byte (`dd A B`), equals the source's; but the copy also brings the source's free space, and the note is gone.
// Invariant: the note is drawn anew for each run that writes, and lies where neither source nor target keep anything.

import { randomBytes } from 'node:crypto';
import { type Bytes, KiB } from '../base/units.js';
import type { Source, Target } from '../source/types.js';

/** Where the note lies in the volume, and what tells it from all others. */
export interface Witness {
  readonly offset: Bytes;
  /** 32 hex digits. */
  readonly id: string;
}

/** One write on every medium. */
export const WITNESS_LENGTH: Bytes = 4 * KiB;

function noteOf({ id }: Witness): Buffer {
  const note = Buffer.alloc(WITNESS_LENGTH);
  note.write(`ectype clone, run witness ${id}: free space, may be overwritten\n`, 'latin1');
  return note;
}

/** Writes a new note at `offset` of the volume; durable only after a flush. */
export async function leaveWitness(volume: Target, offset: Bytes): Promise<Witness> {
  const witness = { offset, id: randomBytes(16).toString('hex') };
  await volume.write(noteOf(witness), offset);
  return witness;
}

/** True if the volume still bears the note. */
export async function bearsWitness(volume: Source, witness: Witness): Promise<boolean> {
  if (witness.offset + WITNESS_LENGTH > volume.size) return false;
  const found = Buffer.alloc(WITNESS_LENGTH);
  await volume.read(found, witness.offset);
  return found.equals(noteOf(witness));
}
