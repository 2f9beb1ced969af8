// The histories known of one target identity: at most four, because docks and rotated disks share an identity.
// Invariant: a record and its maps live in one folder that is removed as a whole.

import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { loadJson, makeFolder, saveJson, stateFolder } from './folder.js';
import { type CloneRecord, parseRecord } from './record.js';

const KEPT = 4;
const RECORD_FILE = 'record.json';

/** 16 hex digits, as runs and lineages are called. */
export function newId(): string {
  return randomBytes(8).toString('hex').toUpperCase();
}

/** The folder of a target; made if it is not there. */
export function targetFolder(targetKey: string): string {
  const folder = join(stateFolder(), 'targets', targetKey);
  makeFolder(folder);
  return folder;
}

/** Where a target's folder would be; nothing is made. */
export function targetFolderPath(targetKey: string): string {
  return join(stateFolder(), 'targets', targetKey);
}

export function lineageFolder(folder: string, lineage: string): string {
  return join(folder, lineage);
}

function when({ running, committed }: CloneRecord): string {
  return [running?.at ?? '', committed?.at ?? ''].sort().at(-1) ?? '';
}

/** All records of a target, the newest first. Whatever is not a record is not listed. */
export function loadLineages(folder: string): CloneRecord[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .filter((name) => /^[0-9A-F]{16}$/.test(name))
    .flatMap((name) => {
      const record = parseRecord(loadJson(join(folder, name, RECORD_FILE)));
      return record && record.lineage === name ? [record] : [];
    })
    .sort((a, b) => when(b).localeCompare(when(a)));
}

/** Makes the record durable. The oldest lineages beyond four go. */
export function saveRecord(folder: string, record: CloneRecord): void {
  const own = lineageFolder(folder, record.lineage);
  makeFolder(own);
  saveJson(join(own, RECORD_FILE), record);
  for (const old of loadLineages(folder).slice(KEPT)) {
    if (old.lineage !== record.lineage) rmSync(lineageFolder(folder, old.lineage), { recursive: true, force: true });
  }
}

/** Maps that the saved record does not name: of volumes that the target no longer has, or that get a new map. */
export function removeOtherMaps(folder: string, record: CloneRecord): void {
  removeUnnamed(folder, record, '.map');
}

/** Catalogues that the saved record does not name. Not while a run writes new ones, which no record names yet. */
export function removeOtherCatalogues(folder: string, record: CloneRecord): void {
  removeUnnamed(folder, record, '.cat');
}

function removeUnnamed(folder: string, { lineage, volumes }: CloneRecord, ending: string): void {
  const own = lineageFolder(folder, lineage);
  const named = new Set(volumes.flatMap(({ map, catalogue }) => [map, catalogue]));
  for (const name of readdirSync(own)) if (name.endsWith(ending) && !named.has(name)) rmSync(join(own, name));
}
