// What a target held where the marker is about to be put: the only copy of it, once the source cannot be read there.
// Invariant: it is durable before the marker is written, and belongs to the run whose marker that is.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Bytes } from '../base/units.js';
import { loadJson, saveJson } from './folder.js';

const FORMER_FILE = 'under-marker.json';

/** Bytes of the target medium. */
export interface FormerPiece {
  readonly offset: Bytes;
  readonly bytes: Buffer;
}

export function saveFormer(folder: string, runId: string, pieces: readonly FormerPiece[]): void {
  const encoded = pieces.map(({ offset, bytes }) => ({ offset, base64: bytes.toString('base64') }));
  saveJson(join(folder, FORMER_FILE), { runId, pieces: encoded });
}

/** What one of these runs saved; undefined if none saved anything, or what is there is not exactly that. */
export function loadFormer(folder: string, runIds: readonly string[]): FormerPiece[] | undefined {
  const value = loadJson(join(folder, FORMER_FILE)) as { runId?: unknown; pieces?: unknown } | null | undefined;
  if (typeof value?.runId !== 'string' || !runIds.includes(value.runId)) return undefined;
  if (!Array.isArray(value.pieces)) return undefined;
  const pieces: FormerPiece[] = [];
  for (const piece of value.pieces as readonly ({ offset?: unknown; base64?: unknown } | null)[]) {
    if (!Number.isSafeInteger(piece?.offset) || typeof piece?.base64 !== 'string') return undefined;
    pieces.push({ offset: piece.offset as number, bytes: Buffer.from(piece.base64, 'base64') });
  }
  return pieces;
}

export function removeFormer(folder: string): void {
  rmSync(join(folder, FORMER_FILE), { force: true });
}
